"""What a run says, in words: terminal, Markdown, and the pieces the page shares with them."""

"""What the charts share: look, axes, legends, bars, boxes and labels."""

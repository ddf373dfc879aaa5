"""All settings of the character model."""

BATCH_SIZE = 24
SEQ_LEN = 40
HIDDEN = 64
EPOCHS = 12
CHARACTERS_PER_EPOCH = 200_000
LEARNING_RATE = 2e-3

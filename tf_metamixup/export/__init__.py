"""What a finished run leaves behind: SavedModel, LiteRT models and the model card."""

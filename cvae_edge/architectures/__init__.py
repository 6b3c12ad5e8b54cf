"""From an image shape to a pair of Keras models: presets, one's own, and pairs from elsewhere."""

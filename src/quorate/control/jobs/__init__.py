"""Jobs: files scored in the background through the inference port; this process runs no model."""

"""Whether a run is whole, whether its journal is true, and how it is mended."""

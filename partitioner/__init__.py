"""HEALPix chunk maps, overlap, sky regions and the pixel of a row. Pure: no file, socket or database."""

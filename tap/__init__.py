"""The web face: ADQL dialect, TAP, VOSI, result encoders."""

"""Answers as files: Arrow batches in, bytes out, one batch at a time.

`tap.formats.outputs` names the formats; each is a class of the protocol `tap.formats.encoder.Encoder`.
"""

"""Positions at a distance from others: what the rows of the tests are made with, apart from the code under test."""

import numpy as np


def unit_vectors(ra_deg, dec_deg):
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def positions(xyz):
    """Return longitude in [0, 360) and latitude, deg, of vectors of shape (n, 3)."""
    ra = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360
    dec = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    return np.where(ra >= 360, 0.0, ra), dec


def displaced(ra_deg, dec_deg, distance_deg, angle):
    """Return positions a distance away, in the direction of an angle (rad, from north over east); NaN stays NaN."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    north = np.stack((-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)), axis=-1)
    east = np.stack((-np.sin(ra), np.cos(ra), np.zeros_like(ra)), axis=-1)
    direction = np.cos(angle)[:, None] * north + np.sin(angle)[:, None] * east
    away = np.radians(distance_deg)[:, None]
    return positions(np.cos(away) * unit_vectors(ra_deg, dec_deg) + np.sin(away) * direction)

-- Fluxes and magnitudes. AB magnitudes after Oke & Gunn (1983): m = -2.5 log10(f) - 48.6 with f in erg/s/cm^2/Hz, which is
-- -2.5 log10(f) + 31.4 with f in nanojansky. The scisql_* names, units and argument orders are those that Qserv users know
-- (scisql 0.3); qserv.nanojansky_to_abmag and its kin are the same under plain names.
--
-- NULL where an argument is NULL, NaN or infinite, where a flux, or a zero point fluxMag0, is not above zero and the result
-- needs it to be, and where an error is below zero. 3.630780547701013425e-20 is 10^(-48.6/2.5), 3630.78 Jy in cgs;
-- 1.085736204758129569 is 2.5/ln(10); 0.9210340371976182736 its inverse. Magnitudes beyond +-600 give NULL, not an overflow.

CREATE OR REPLACE FUNCTION qserv.scisql_fluxToAbMag(flux double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN flux > 0 AND flux < 'Infinity' THEN -2.5 * log10(flux) - 48.6 END;

CREATE OR REPLACE FUNCTION qserv.scisql_fluxToAbMagSigma(
    flux double precision, flux_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN flux > 0 AND flux < 'Infinity' AND flux_sigma >= 0 AND flux_sigma < 'Infinity'
    THEN 1.085736204758129569 * flux_sigma / flux
END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToFlux(mag double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(mag) < 600 THEN power(10::double precision, -0.4 * (mag + 48.6)) END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToFluxSigma(
    mag double precision, mag_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(mag) < 600 AND mag_sigma >= 0 AND mag_sigma < 'Infinity'
    THEN mag_sigma * power(10::double precision, -0.4 * (mag + 48.6)) * 0.9210340371976182736
END;

CREATE OR REPLACE FUNCTION qserv.nanojansky_to_abmag(flux double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN flux > 0 AND flux < 'Infinity' THEN 31.4 - 2.5 * log10(flux) END;

CREATE OR REPLACE FUNCTION qserv.scisql_nanojanskyToAbMag(flux double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN flux > 0 AND flux < 'Infinity' THEN 31.4 - 2.5 * log10(flux) END;

CREATE OR REPLACE FUNCTION qserv.nanojansky_to_abmag_sigma(
    flux double precision, flux_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN flux > 0 AND flux < 'Infinity' AND flux_sigma >= 0 AND flux_sigma < 'Infinity'
    THEN 1.085736204758129569 * flux_sigma / flux
END;

CREATE OR REPLACE FUNCTION qserv.scisql_nanojanskyToAbMagSigma(
    flux double precision, flux_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN flux > 0 AND flux < 'Infinity' AND flux_sigma >= 0 AND flux_sigma < 'Infinity'
    THEN 1.085736204758129569 * flux_sigma / flux
END;

CREATE OR REPLACE FUNCTION qserv.abmag_to_nanojansky(mag double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(mag) < 600 THEN power(10::double precision, -0.4 * (mag - 31.4)) END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToNanojansky(mag double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(mag) < 600 THEN power(10::double precision, -0.4 * (mag - 31.4)) END;

CREATE OR REPLACE FUNCTION qserv.abmag_to_nanojansky_sigma(
    mag double precision, mag_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(mag) < 600 AND mag_sigma >= 0 AND mag_sigma < 'Infinity'
    THEN mag_sigma * power(10::double precision, -0.4 * (mag - 31.4)) * 0.9210340371976182736
END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToNanojanskySigma(
    mag double precision, mag_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(mag) < 600 AND mag_sigma >= 0 AND mag_sigma < 'Infinity'
    THEN mag_sigma * power(10::double precision, -0.4 * (mag - 31.4)) * 0.9210340371976182736
END;

CREATE OR REPLACE FUNCTION qserv.scisql_dnToAbMag(dn double precision, flux_mag0 double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN dn > 0 AND dn < 'Infinity' AND flux_mag0 > 0 AND flux_mag0 < 'Infinity' THEN -2.5 * log10(dn / flux_mag0) END;

CREATE OR REPLACE FUNCTION qserv.scisql_dnToAbMagSigma(
    dn double precision, dn_sigma double precision, flux_mag0 double precision, flux_mag0_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN dn > 0 AND dn < 'Infinity' AND dn_sigma >= 0 AND dn_sigma < 'Infinity'
        AND flux_mag0 > 0 AND flux_mag0 < 'Infinity' AND flux_mag0_sigma >= 0 AND flux_mag0_sigma < 'Infinity'
    THEN 1.085736204758129569 * sqrt(power(dn_sigma / dn, 2) + power(flux_mag0_sigma / flux_mag0, 2))
END;

CREATE OR REPLACE FUNCTION qserv.scisql_dnToFlux(dn double precision, flux_mag0 double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(dn) < 'Infinity' AND flux_mag0 > 0 AND flux_mag0 < 'Infinity'
    THEN 3.630780547701013425e-20 * dn / flux_mag0
END;

CREATE OR REPLACE FUNCTION qserv.scisql_dnToFluxSigma(
    dn double precision, dn_sigma double precision, flux_mag0 double precision, flux_mag0_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(dn) < 'Infinity' AND dn_sigma >= 0 AND dn_sigma < 'Infinity'
        AND flux_mag0 > 0 AND flux_mag0 < 'Infinity' AND flux_mag0_sigma >= 0 AND flux_mag0_sigma < 'Infinity'
    THEN 3.630780547701013425e-20
        * sqrt(power(dn * flux_mag0_sigma, 2) + power(dn_sigma * flux_mag0, 2)) / (flux_mag0 * flux_mag0)
END;

CREATE OR REPLACE FUNCTION qserv.scisql_fluxToDn(flux double precision, flux_mag0 double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(flux) < 'Infinity' AND flux_mag0 > 0 AND flux_mag0 < 'Infinity'
    THEN flux * flux_mag0 / 3.630780547701013425e-20
END;

CREATE OR REPLACE FUNCTION qserv.scisql_fluxToDnSigma(
    flux double precision, flux_sigma double precision, flux_mag0 double precision, flux_mag0_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(flux) < 'Infinity' AND flux_sigma >= 0 AND flux_sigma < 'Infinity'
        AND flux_mag0 > 0 AND flux_mag0 < 'Infinity' AND flux_mag0_sigma >= 0 AND flux_mag0_sigma < 'Infinity'
    THEN sqrt(power(flux / 3.630780547701013425e-20 * flux_mag0_sigma, 2)
        + power(flux_mag0 * flux_sigma / 3.630780547701013425e-20, 2))
END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToDn(mag double precision, flux_mag0 double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(mag) < 600 AND flux_mag0 > 0 AND flux_mag0 < 'Infinity'
    THEN power(10::double precision, -0.4 * mag) * flux_mag0
END;

CREATE OR REPLACE FUNCTION qserv.scisql_abMagToDnSigma(
    mag double precision, mag_sigma double precision, flux_mag0 double precision, flux_mag0_sigma double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(mag) < 600 AND mag_sigma >= 0 AND mag_sigma < 'Infinity'
        AND flux_mag0 > 0 AND flux_mag0 < 'Infinity' AND flux_mag0_sigma >= 0 AND flux_mag0_sigma < 'Infinity'
    THEN power(10::double precision, -0.4 * mag)
        * sqrt(power(flux_mag0_sigma, 2) + power(mag_sigma * 0.9210340371976182736 * flux_mag0, 2))
END;

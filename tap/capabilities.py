"""``/tap/capabilities``: what the service can do (TAPRegExt 1.0, VOSI 1.1)."""

from typing import Literal

from pydantic import AnyUrl
from vo_models.tapregext.models import (
    DataLimit,
    DataLimits,
    Language,
    LanguageFeature,
    LanguageFeatureList,
    OutputFormat,
    TableAccess,
    TimeLimits,
    Version,
)
from vo_models.vodataservice.models import ParamHTTP
from vo_models.voresource.models import AccessURL, Capability
from vo_models.vosi.capabilities.models import VOSICapabilities

from tap.adql.functions import DECLARED
from tap.adql.geometry import GEOMETRY
from tap.formats.outputs import OUTPUTS
from tap.limits import Limits

FEATURES = "ivo://ivoa.net/std/TAPRegExt#features-"

OPTIONAL_FEATURES = {
    "adqlgeo": tuple(geometry.name for geometry in GEOMETRY.values() if geometry.supported),
    "adql-string": ("LOWER", "UPPER", "ILIKE"),
    "adql-type": ("CAST",),
    "adql-offset": ("OFFSET",),
}
"""What ADQL 2.1 (section 4) leaves open to a service and this one has, by kind. COALESCE is answered but not declared: its kind,
adql-conditional, is unknown to clients that read TAPRegExt 1.0, STILTS 3.4 among them, and they call it an error."""

VOSI = {
    "capabilities": "ivo://ivoa.net/std/VOSI#capabilities",
    "availability": "ivo://ivoa.net/std/VOSI#availability",
    "tables": "ivo://ivoa.net/std/VOSI#tables-1.1",
}
"""Identifiers of the service's other faces (VOSI 1.1, section 4)."""


def capabilities_document(base_url: str, limits: Limits) -> bytes:
    """Return the document; ``base_url`` is where the client sees ``/tap``."""
    document = VOSICapabilities(
        capability=[
            _table_access(base_url, limits),
            *(
                Capability(standard_id=AnyUrl(standard), interface=[_interface(f"{base_url}/{name}")])
                for name, standard in VOSI.items()
            ),
        ]
    )
    text = document.to_xml(skip_empty=True, encoding="UTF-8", standalone=None)
    return text if isinstance(text, bytes) else text.encode()


def _interface(url: str, *, use: Literal["full", "base"] = "full", version: str | None = None) -> ParamHTTP:
    return ParamHTTP(access_url=[AccessURL(value=AnyUrl(url), use=use)], role="std", version=version)


def _table_access(base_url: str, limits: Limits) -> TableAccess:
    """Return the capability of TAP itself."""
    return TableAccess(
        interface=[_interface(base_url, use="base", version="1.1")],
        language=[
            Language(
                name="ADQL",
                version=[
                    Version(value="2.1", ivo_id="ivo://ivoa.net/std/ADQL#v2.1"),
                    Version(value="2.0", ivo_id="ivo://ivoa.net/std/ADQL#v2.0"),
                ],
                description="Astronomical Data Query Language",
                language_features=[*_optional_features(), _declared_functions()],
            )
        ],
        output_format=[
            OutputFormat(mime=output.media_type, alias=list(output.aliases), ivo_id=output.ivo_id) for output in OUTPUTS
        ],
        execution_duration=TimeLimits(default=int(limits.duration_s), hard=int(limits.duration_s)),
        output_limit=DataLimits(
            default=DataLimit(value=limits.default_rows, unit="row"),
            hard=DataLimit(value=limits.hard_rows, unit="row"),
        ),
    )


def _optional_features() -> list[LanguageFeatureList]:
    return [
        LanguageFeatureList(type=FEATURES + kind, feature=[LanguageFeature(form=form) for form in forms])
        for kind, forms in OPTIONAL_FEATURES.items()
    ]


def _declared_functions() -> LanguageFeatureList:
    features = [LanguageFeature(form=function.signature, description=function.description) for function in DECLARED]
    return LanguageFeatureList(type=FEATURES + "udf", feature=features)

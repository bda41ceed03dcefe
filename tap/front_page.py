"""The page that a browser sees: what this is, how to connect, what there is to ask."""

from html import escape

from czar.catalogue import Catalogue
from schema.model import Database, Table
from tap.tables import qualified_name

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
pre { background: #f3f3f3; padding: .7rem 1rem; overflow-x: auto } code { font-size: .95em }
table { border-collapse: collapse } th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top }
td.number, th.number { text-align: right } textarea { width: 100%; font-family: monospace; font-size: .95em }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } pre { background: #262626 } a { color: #8ab4f8 } }
"""

FALLBACK_QUERY = "SELECT TOP 10 * FROM tap_schema.tables"
"""Example for a service that holds no catalogue yet."""


def example_query(catalogue: Catalogue) -> str:
    """Return a query that has an answer here: ten rows of the first table with positions, around the Pleiades."""
    for database in catalogue.databases:
        for table in database.tables:
            if table.ra and table.dec:
                return (
                    f"SELECT TOP 10 *\nFROM {qualified_name(database, table)}\n"
                    f"WHERE DISTANCE({table.ra}, {table.dec}, 56.75, 24.12) < 1"
                )
    return FALLBACK_QUERY


def front_page(catalogue: Catalogue, tap_url: str) -> str:
    """Return the page; ``tap_url`` is where the client sees ``/tap``."""
    url, query = escape(tap_url), example_query(catalogue)
    rows = "".join(_row(catalogue, database, table) for database in catalogue.databases for table in database.tables)
    one_line = " ".join(query.split())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Survey archive: TAP service</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Survey archive</h1>
<p>Astronomical catalogues, spread over many database servers and asked as one, in ADQL 2.1, over the Table Access Protocol (TAP)
of the IVOA. The service is at <code>{url}</code>.</p>

<h2>Ask here</h2>
<form action="{url}/sync" method="get">
<input type="hidden" name="LANG" value="ADQL">
<p><label for="query">Query</label><br><textarea id="query" name="QUERY" rows="5">{escape(query)}</textarea></p>
<p><label>Answer as <select name="RESPONSEFORMAT">
<option>csv</option><option>votable</option><option>votable/td</option><option>tsv</option><option>parquet</option></select></label>
<button type="submit">Ask</button></p>
</form>

<h2>Connect</h2>
<p>Python, with pyVO:</p>
<pre>import pyvo
service = pyvo.dal.TAPService("{url}")
print(service.search(\"\"\"{escape(query)}\"\"\").to_table())</pre>
<p>TOPCAT: <em>VO</em>, <em>Table Access Protocol (TAP) Query</em>, then enter <code>{url}</code> as the TAP URL.</p>
<p>STILTS:</p>
<pre>stilts tapquery sync=true tapurl={url} adql='{escape(one_line)}'</pre>
<p>curl:</p>
<pre>curl {url}/sync --data-urlencode LANG=ADQL --data-urlencode RESPONSEFORMAT=csv \\
     --data-urlencode QUERY='{escape(one_line)}'</pre>

<h2>Tables</h2>
<table>
<tr><th>table</th><th class="number">rows</th><th>what it holds</th></tr>
{rows}</table>

<h2>For machines</h2>
<p><a href="{url}/capabilities">capabilities</a>, <a href="{url}/tables">tables</a>,
<a href="{url}/availability">availability</a></p>
</body>
</html>
"""


def _row(catalogue: Catalogue, database: Database, table: Table) -> str:
    name = escape(qualified_name(database, table))
    rows = catalogue.row_count(database.name, table.name)
    shown = "" if rows is None else f"{rows:,}"
    return f'<tr><td><code>{name}</code></td><td class="number">{shown}</td><td>{escape(table.description)}</td></tr>\n'

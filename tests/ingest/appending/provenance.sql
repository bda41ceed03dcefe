SELECT * FROM provenance.transactions;
SELECT * FROM provenance.contributions;
SELECT COUNT(*) AS n FROM provenance.contributions;
SELECT o.id, c.source, c.sha256, t.name, t.user_name, t.software FROM {db}.object AS o
    JOIN provenance.contributions AS c ON c.contribution_id = o."_contribution"
    JOIN provenance.transactions AS t ON t.transaction_id = c.transaction_id;
SELECT o.id, c.source, c.sha256, t.name, t.user_name, t.software FROM {db}.object AS o
    JOIN provenance.contributions AS c ON c.contribution_id = o."_contribution"
    JOIN provenance.transactions AS t ON t.transaction_id = c.transaction_id
    WHERE o.id IN (9007199254740999, 9007199254741400) AND c.rejected = 0;
SELECT o.id, t.name FROM {db}.object AS o, provenance.contributions AS c, provenance.transactions AS t
    WHERE t.transaction_id = c.transaction_id AND c.contribution_id = o."_contribution" AND t.name LIKE '%second' AND o.mag < 20;
WITH every AS (SELECT o.id, c.transaction_id FROM {db}.object o JOIN provenance.contributions c ON c.contribution_id = o."_contribution")
    SELECT name, COUNT(*) AS n FROM every NATURAL JOIN provenance.transactions GROUP BY name HAVING COUNT(*) > 60;
SELECT c.contribution_id, c.row_count, COUNT(o.id) AS n FROM provenance.contributions c
    LEFT JOIN {db}.object o ON o."_contribution" = c.contribution_id GROUP BY c.contribution_id, c.row_count;
SELECT o.id, c.name FROM {db}.object o
    LEFT JOIN provenance.contributions c ON c.contribution_id = o."_contribution" AND c.name = 'visit-object'
    WHERE o.id IN (9007199254740999, 9007199254741400);
SELECT c.name, o.id FROM provenance.contributions c FULL JOIN {db}.object o ON c.contribution_id = o."_contribution" AND o.mag < 15;
SELECT name FROM provenance.transactions
    WHERE transaction_id NOT IN (SELECT transaction_id FROM provenance.contributions WHERE table_name = 'source');
SELECT name FROM provenance.transactions t WHERE NOT EXISTS
    (SELECT 1 FROM provenance.contributions c WHERE c.transaction_id = t.transaction_id AND c.table_name = 'pair');
SELECT id FROM {db}.object o WHERE EXISTS
    (SELECT 1 FROM provenance.contributions c WHERE c.contribution_id = o."_contribution" AND c.row_count < 100);
SELECT id FROM {db}.object WHERE "_contribution" IN (SELECT contribution_id FROM provenance.contributions
    JOIN provenance.transactions USING (transaction_id) WHERE kind = 'transaction' AND rejected = 0);
SELECT MIN(id) AS low FROM {db}.object WHERE "_contribution" =
    (SELECT MAX(contribution_id) FROM provenance.contributions WHERE table_name = 'object');
SELECT id, (SELECT c.source FROM provenance.contributions c WHERE c.contribution_id = o."_contribution") AS s
    FROM {db}.object o WHERE id < 9007199254740999;
SELECT few.id, c.sha256 FROM (SELECT id, "_contribution" AS n FROM {db}.object WHERE id = 9007199254740999) AS few
    JOIN provenance.contributions c ON few.n = c.contribution_id;
SELECT name FROM provenance.transactions UNION SELECT table_name FROM provenance.contributions UNION ALL SELECT name FROM {db}.object;
SELECT contribution_id FROM provenance.contributions EXCEPT SELECT "_contribution" FROM {db}.object;
SELECT contribution_id FROM provenance.contributions INTERSECT SELECT "_contribution" FROM {db}.object;
SELECT name, row_count, RANK() OVER (ORDER BY row_count DESC, contribution_id) AS r FROM provenance.contributions;
SELECT DISTINCT ON (transaction_id) transaction_id, ended FROM provenance.contributions ORDER BY transaction_id, ended DESC;
SELECT DISTINCT table_name FROM provenance.contributions;
SELECT contribution_id FROM provenance.contributions ORDER BY ended DESC, contribution_id OFFSET 2 LIMIT 3;
SELECT source FROM provenance.contributions ORDER BY source, contribution_id LIMIT (SELECT COUNT(*) FROM provenance.transactions);
SELECT id FROM {db}.object ORDER BY id LIMIT (SELECT COUNT(*) FROM provenance.contributions);
SELECT a.name, b.name AS other FROM provenance.transactions a JOIN provenance.transactions b ON a.ended < b.begun;
SELECT t.name, last.source FROM provenance.transactions t CROSS JOIN LATERAL
    (SELECT source FROM provenance.contributions c WHERE c.transaction_id = t.transaction_id ORDER BY contribution_id DESC LIMIT 1)
    AS last;
SELECT transaction_id, ARRAY_AGG(row_count ORDER BY contribution_id) AS counts FROM provenance.contributions GROUP BY transaction_id;
SELECT user_name, MAX(row_count) AS n FROM provenance.contributions NATURAL JOIN
    (SELECT transaction_id, user_name FROM provenance.transactions) AS t
    WHERE ended >= '2020-01-01' AND size_bytes BETWEEN 1 AND 100000000 GROUP BY user_name;
WITH RECURSIVE up(n) AS (SELECT MIN(contribution_id) FROM provenance.contributions UNION ALL
    SELECT n + 1 FROM up WHERE n < (SELECT MAX(contribution_id) FROM provenance.contributions))
    SELECT n, name FROM up JOIN provenance.contributions ON contribution_id = n;
SELECT UPPER(name) AS u FROM provenance.contributions WHERE LENGTH(name) > 11 OR name IS NULL;
SELECT EXTRACT(YEAR FROM begun) > 2020 AS later, begun <= ended AS ordered FROM provenance.transactions

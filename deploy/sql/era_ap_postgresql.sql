-- The roles of era_ap's own directory in PostgreSQL: the daemon reads, an editor reads and writes; only the owner of
-- the tables makes them. Run it once, after `era-ap directory upgrade`, as that owner's administrator:
--
--   psql -d era_ap -v daemon="'a long one'" -v editor="'another one'" -f era_ap_postgresql.sql

CREATE ROLE era_ap_daemon LOGIN PASSWORD :daemon CONNECTION LIMIT 100;
ALTER ROLE era_ap_daemon SET default_transaction_read_only = on;
CREATE ROLE era_ap_editor LOGIN PASSWORD :editor CONNECTION LIMIT 20;
GRANT USAGE ON SCHEMA public TO era_ap_daemon, era_ap_editor;

GRANT SELECT ON era_ap_schema, feed, revisions, tombstones, domains, sipusers TO era_ap_daemon;

GRANT SELECT ON era_ap_schema, feed TO era_ap_editor;
GRANT UPDATE (revision) ON feed TO era_ap_editor;
GRANT SELECT, INSERT, DELETE ON revisions, tombstones, devices, originals TO era_ap_editor;
GRANT SELECT, INSERT, UPDATE, DELETE ON domains, sipusers TO era_ap_editor;

-- The users of era_ap's own directory in MariaDB: the daemon reads, an editor reads and writes; only the owner of the
-- tables makes them. Change the passwords, then run it once, after `era-ap directory upgrade`:
--
--   mariadb era_ap < era_ap_mariadb.sql

CREATE USER era_ap_daemon@'%' IDENTIFIED BY 'change me' WITH MAX_USER_CONNECTIONS 100;
CREATE USER era_ap_editor@'%' IDENTIFIED BY 'change me too' WITH MAX_USER_CONNECTIONS 20;

GRANT SELECT ON era_ap_schema TO era_ap_daemon@'%';
GRANT SELECT ON feed TO era_ap_daemon@'%';
GRANT SELECT ON revisions TO era_ap_daemon@'%';
GRANT SELECT ON tombstones TO era_ap_daemon@'%';
GRANT SELECT ON domains TO era_ap_daemon@'%';
GRANT SELECT ON sipusers TO era_ap_daemon@'%';

GRANT SELECT ON era_ap_schema TO era_ap_editor@'%';
GRANT SELECT, UPDATE (revision) ON feed TO era_ap_editor@'%';
GRANT SELECT, INSERT, DELETE ON revisions TO era_ap_editor@'%';
GRANT SELECT, INSERT, DELETE ON tombstones TO era_ap_editor@'%';
GRANT SELECT, INSERT, DELETE ON devices TO era_ap_editor@'%';
GRANT SELECT, INSERT, DELETE ON originals TO era_ap_editor@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON domains TO era_ap_editor@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON sipusers TO era_ap_editor@'%';

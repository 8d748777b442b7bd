-- The least that era_ap needs of Asterisk's tables. Change the password, then run it once, after phones.sql:
--
--   mariadb asterisk < asterisk_mariadb_reader.sql

CREATE USER era_ap_reader@'%' IDENTIFIED BY 'change me' WITH MAX_USER_CONNECTIONS 20;

GRANT SELECT (id, auth, aors, callerid, mailboxes) ON ps_endpoints TO era_ap_reader@'%';
GRANT SELECT (id, username, password) ON ps_auths TO era_ap_reader@'%';
GRANT SELECT (id, mailboxes) ON ps_aors TO era_ap_reader@'%';
GRANT SELECT ON era_ap_phones TO era_ap_reader@'%';
GRANT SELECT ON era_ap_keys TO era_ap_reader@'%';

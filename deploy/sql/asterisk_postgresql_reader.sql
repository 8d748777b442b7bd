-- The least that era_ap needs of Asterisk's tables. Run it once, after phones.sql, as their owner's administrator:
--
--   psql -d asterisk -v password="'a long one'" -f asterisk_postgresql_reader.sql

CREATE ROLE era_ap_reader LOGIN PASSWORD :password CONNECTION LIMIT 20;
ALTER ROLE era_ap_reader SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO era_ap_reader;

GRANT SELECT (id, auth, aors, callerid, mailboxes) ON ps_endpoints TO era_ap_reader;
GRANT SELECT (id, username, password) ON ps_auths TO era_ap_reader;
GRANT SELECT (id, mailboxes) ON ps_aors TO era_ap_reader;
GRANT SELECT ON era_ap_phones, era_ap_keys TO era_ap_reader;

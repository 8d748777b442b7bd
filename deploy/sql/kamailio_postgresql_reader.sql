-- The least that era_ap needs of Kamailio's tables. Run it once, after phones.sql, as their owner's administrator:
--
--   psql -d kamailio -v password="'a long one'" -f kamailio_postgresql_reader.sql

CREATE ROLE era_ap_reader LOGIN PASSWORD :password CONNECTION LIMIT 20;
ALTER ROLE era_ap_reader SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO era_ap_reader;

GRANT SELECT (username, domain, password) ON subscriber TO era_ap_reader;
GRANT SELECT ON era_ap_phones, era_ap_keys TO era_ap_reader;

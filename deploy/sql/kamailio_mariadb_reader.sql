-- The least that era_ap needs of Kamailio's tables. Change the password, then run it once, after phones.sql:
--
--   mariadb kamailio < kamailio_mariadb_reader.sql

CREATE USER era_ap_reader@'%' IDENTIFIED BY 'change me' WITH MAX_USER_CONNECTIONS 20;

GRANT SELECT (username, domain, password) ON subscriber TO era_ap_reader@'%';
GRANT SELECT ON era_ap_phones TO era_ap_reader@'%';
GRANT SELECT ON era_ap_keys TO era_ap_reader@'%';

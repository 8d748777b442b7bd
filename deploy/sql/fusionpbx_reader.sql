-- The least that era_ap needs of FusionPBX. Run it once as the administrator of the database:
--
--   psql -d fusionpbx -v password="'a long one'" -f fusionpbx_reader.sql
--
-- It makes the user era_ap_reader, who can read what the queries name and nothing else, and one view with those
-- settings that concern phones: the tables under it hold other secrets too.

CREATE ROLE era_ap_reader LOGIN PASSWORD :password CONNECTION LIMIT 20;
ALTER ROLE era_ap_reader SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO era_ap_reader;

CREATE VIEW era_ap_settings AS
    SELECT domain_uuid, domain_setting_category AS category, domain_setting_subcategory AS subcategory,
           domain_setting_value AS value, 1 AS rank, xmin::text::numeric AS version
    FROM v_domain_settings
    WHERE domain_setting_enabled::text = 'true'
      AND (domain_setting_category = 'provision'
           OR domain_setting_category = 'domain' AND domain_setting_subcategory = 'time_zone')
    UNION ALL
    SELECT NULL, default_setting_category, default_setting_subcategory, default_setting_value, 2,
           xmin::text::numeric
    FROM v_default_settings
    WHERE default_setting_enabled::text = 'true'
      AND (default_setting_category = 'provision'
           OR default_setting_category = 'domain' AND default_setting_subcategory = 'time_zone');

GRANT SELECT ON era_ap_settings, v_domains, v_device_lines, v_device_keys, v_device_settings, v_device_profile_keys,
    v_device_profile_settings, v_device_vendors, v_device_vendor_functions TO era_ap_reader;
GRANT SELECT (device_uuid, domain_uuid, device_profile_uuid, device_address, device_label, device_vendor, device_model,
    device_enabled, device_template, device_uuid_alternate, xmin) ON v_devices TO era_ap_reader;
GRANT SELECT (extension_uuid, domain_uuid, extension, number_alias, password, effective_caller_id_name,
    effective_caller_id_number, xmin) ON v_extensions TO era_ap_reader;

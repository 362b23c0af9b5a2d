-- The service may run under a role that owns nothing: it reads the audit log and appends to it, and cannot rewrite it. What
-- needs the owner's rights (days that are added and removed) is done by functions that have them and allow no more.

CREATE TABLE audit_policy (
  only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  least_kept interval NOT NULL DEFAULT '1 day' CHECK (least_kept >= interval '1 day')
);
INSERT INTO audit_policy DEFAULT VALUES;
COMMENT ON TABLE audit_policy IS 'How long records of the audit log stay at least, whatever the service is set to';

-- Times are compared, not intervals: `1200 mons -36000 days` is either more or less than nothing, as one looks at it.
CREATE FUNCTION rdev_retire_audit(keep interval) RETURNS timestamptz LANGUAGE sql SECURITY DEFINER AS $$
  SELECT rdev_retire_audit_days(t.now - least(t.now - keep, t.now - p.least_kept))
    FROM audit_policy p, (SELECT clock_timestamp() AS now) AS t
$$;

ALTER FUNCTION rdev_drop_partitions(text, interval) RENAME TO rdev_drop_days;
CREATE FUNCTION rdev_drop_partitions(p_table text, keep interval) RETURNS int LANGUAGE sql SECURITY DEFINER AS $$
  SELECT CASE WHEN p_table IN ('command', 'command_result', 'output_chunk', 'event', 'webhook_delivery', 'webhook_attempt')
              THEN rdev_drop_days(p_table, keep) ELSE 0 END
$$;

ALTER FUNCTION rdev_make_partitions() SECURITY DEFINER;

-- What such a function names is looked up where it was made, never in what its caller has put in front; its days are those of
-- UTC.
DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['rdev_retire_audit(interval)', 'rdev_drop_partitions(text, interval)', 'rdev_make_partitions()',
                          'rdev_append_links(bigint, bytea, xid8, uuid, uuid[], bytea[], bytea[])'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
    EXECUTE format('ALTER FUNCTION %s SET timezone = %L', f, 'UTC');
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
  REVOKE EXECUTE ON FUNCTION rdev_retire_audit_days(interval), rdev_drop_days(text, interval) FROM PUBLIC;
END $$;

-- Gives a role what `rdev-api serve` needs, and no more: it says neither when a record was written nor in which transaction, and
-- appends to the chain by the function alone. To be called by the owner, after each migration.
CREATE FUNCTION rdev_grant_service(p_role name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_schema name := current_schema();
  v_table record;
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles r, pg_class t
              WHERE r.rolname = p_role AND t.oid = 'audit_log'::regclass
                AND (r.rolsuper OR pg_has_role(r.oid, t.relowner, 'MEMBER'))) THEN
    RAISE EXCEPTION 'the role % may do what the owner of the tables may: give the service one of its own', p_role;
  END IF;
  -- What it made there could be called by the functions with the owner's rights.
  IF has_schema_privilege(p_role, v_schema, 'CREATE') THEN
    RAISE EXCEPTION 'the role % may create in the schema %: REVOKE CREATE ON SCHEMA % FROM PUBLIC and from it', p_role, v_schema, v_schema;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', v_schema, p_role);
  FOR v_table IN SELECT relname FROM pg_class
                  WHERE relnamespace = v_schema::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP
    EXECUTE format('REVOKE ALL ON %I.%I FROM %I', v_schema, v_table.relname, p_role);
    EXECUTE format('GRANT %s ON %I.%I TO %I',
                   CASE v_table.relname
                     WHEN 'audit_log' THEN 'SELECT, INSERT (id, actor_key, actor_name, action, target, project, outcome, reason, '
                                           'client_ip, request_id, trace_id, detail)'
                     WHEN 'audit_keys' THEN 'SELECT, INSERT (id, public_key, private_key)'
                     WHEN 'audit_checkpoints' THEN 'SELECT, INSERT'
                     WHEN 'audit_sealer' THEN 'SELECT, UPDATE'
                     WHEN 'audit_seals' THEN 'SELECT'
                     WHEN 'schema_migrations' THEN 'SELECT'
                     WHEN 'audit_policy' THEN 'SELECT'
                     ELSE 'SELECT, INSERT, UPDATE, DELETE' END,
                   v_schema, v_table.relname, p_role);
  END LOOP;
  EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', v_schema, p_role);
  EXECUTE format('GRANT EXECUTE ON FUNCTION rdev_retire_audit(interval), rdev_drop_partitions(text, interval), '
                 'rdev_make_partitions(), rdev_append_links(bigint, bytea, xid8, uuid, uuid[], bytea[], bytea[]) TO %I', p_role);
END $$;

-- The service appends to the chain by a function that lets nothing through but what comes next, and retention removes the
-- beginning of the chain, so that what is kept can be exported and verified without a gap.

ALTER TABLE audit_seals ADD CONSTRAINT audit_seals_seq_check CHECK (seq >= 1);
ALTER TABLE audit_checkpoints ADD CONSTRAINT audit_checkpoints_seq_check CHECK (seq >= 0);

CREATE FUNCTION rdev_link_hash(seq bigint, row_id uuid, row_hash bytea, prev_hash bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256('rdev-seal-1'::bytea || int8send(seq) || uuid_send(row_id) || row_hash || prev_hash)
$$;
COMMENT ON FUNCTION rdev_link_hash IS 'The hash of a link of audit_seals, see docs/audit.md';

-- Links behind the one of this number and hash (0 and zeros: at the beginning), for the records that come next in the order of
-- the chain. Gives the time that they have. What their records hash to is the caller's word; all else is checked. Whoever owns the
-- table may go on behind a link that is gone, `p_xid` and `p_row` then say where, and beside links that are none of the chain's.
CREATE FUNCTION rdev_append_links(p_seq bigint, p_hash bytea, p_xid xid8, p_row uuid,
                                  p_rows uuid[], p_row_hashes bytea[], p_hashes bytea[])
RETURNS timestamptz LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  v_owner boolean := (SELECT pg_has_role(session_user, c.relowner, 'MEMBER') FROM pg_class c WHERE c.oid = 'audit_seals'::regclass);
  v_last audit_seals;
  v_ids uuid[];
  v_xids xid8[];
  v_at timestamptz;
  v_good boolean;
BEGIN
  SELECT * INTO v_last FROM audit_seals s
   WHERE s.seq = p_seq AND s.hash = p_hash AND rdev_link_hash(s.seq, s.row_id, s.row_hash, s.prev_hash) = p_hash
   ORDER BY s.at LIMIT 1;
  IF v_last.seq IS NOT NULL THEN
    p_xid := coalesce((SELECT l.xid FROM audit_log l WHERE l.id = v_last.row_id), v_last.xid);
    p_row := v_last.row_id;
  END IF;
  IF NOT v_owner AND (CASE WHEN p_seq = 0 THEN EXISTS (SELECT 1 FROM audit_seals) ELSE v_last.seq IS NULL END
                      OR EXISTS (SELECT 1 FROM audit_seals s WHERE s.seq = p_seq + 1)) THEN
    RAISE EXCEPTION 'link % is not the last one of the chain', p_seq;
  END IF;
  SELECT array_agg(u.id ORDER BY u.ordinality), array_agg(u.xid ORDER BY u.ordinality) INTO v_ids, v_xids
    FROM rdev_unsealed(p_xid, p_row, cardinality(p_rows)) WITH ORDINALITY AS u;
  IF p_rows IS DISTINCT FROM v_ids THEN
    RAISE EXCEPTION 'these are not the records that come next behind link %', p_seq;
  END IF;
  v_at := greatest(v_last.at, clock_timestamp());
  WITH link AS (
    SELECT p_seq + u.n AS seq, u.row_id, u.xid, u.row_hash, lag(u.hash, 1, p_hash) OVER (ORDER BY u.n) AS prev_hash, u.hash
      FROM unnest(v_ids, v_xids, p_row_hashes, p_hashes) WITH ORDINALITY AS u(row_id, xid, row_hash, hash, n)
  ), made AS (
    INSERT INTO audit_seals (seq, at, row_id, xid, row_hash, prev_hash, hash)
    SELECT k.seq, v_at, k.row_id, k.xid, k.row_hash, k.prev_hash, k.hash FROM link k
  )
  SELECT bool_and(octet_length(k.row_hash) = 32 AND octet_length(k.prev_hash) = 32
                  AND k.hash = rdev_link_hash(k.seq, k.row_id, k.row_hash, k.prev_hash))
    INTO v_good FROM link k;
  IF v_good IS NOT TRUE THEN
    RAISE EXCEPTION 'these hashes do not make links behind link %', p_seq;
  END IF;
  RETURN v_at;
END $$;

-- As before, but what goes is the beginning of the chain: all up to the last record of the days that go, and nothing that stands
-- behind a record that is kept, or is not sealed. So the day after them, which is past its time as well, loses the few records that
-- were written while the last of them were; and a day that has one which was sealed much later keeps that one.
CREATE OR REPLACE FUNCTION rdev_retire_audit_days(keep interval) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  v_before date := (clock_timestamp() - keep)::date;
  v_kept_xid xid8; -- of the first record that is kept
  v_kept_id uuid;
  v_sealed_xid xid8; -- of the last one that is sealed
  v_sealed_id uuid;
  v_end_xid xid8; -- of the last one that goes
  v_end_id uuid;
  v_day date;
  v_part text;
  v_last_xid xid8; -- of a day
  v_last_id uuid;
  v_most constant int := 200000; -- rows that are removed one by one in a transaction
  v_gone bigint;
  v_gone_id uuid;
  v_kept_from timestamptz;
BEGIN
  SELECT l.xid, l.id INTO v_kept_xid, v_kept_id FROM audit_log l
   WHERE l.id >= rdev_uuid7_floor((v_before - 1)::timestamp AT TIME ZONE 'UTC') ORDER BY l.xid, l.id LIMIT 1;
  SELECT coalesce(l.xid, s.xid), s.row_id INTO v_sealed_xid, v_sealed_id
    FROM audit_seals s LEFT JOIN audit_log l ON l.id = s.row_id ORDER BY s.seq DESC LIMIT 1;
  SELECT l.xid, l.id INTO v_end_xid, v_end_id FROM audit_log l
   WHERE l.id < rdev_uuid7_floor((v_before - 2)::timestamp AT TIME ZONE 'UTC')
     AND ((l.xid, l.id) >= (v_kept_xid, v_kept_id)) IS NOT TRUE AND (l.xid, l.id) <= (v_sealed_xid, v_sealed_id)
   ORDER BY l.xid DESC, l.id DESC LIMIT 1;
  FOR v_day IN SELECT DISTINCT d.day
                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                CROSS JOIN LATERAL (SELECT CASE WHEN c.relname ~ '_[0-9]{8}$'
                                                THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day) AS d
                WHERE i.inhparent IN ('audit_log'::regclass, 'audit_seals'::regclass, 'audit_checkpoints'::regclass)
                  AND d.day + 1 < v_before
                ORDER BY d.day LOOP
    v_part := 'audit_log_' || to_char(v_day, 'YYYYMMDD');
    IF to_regclass(v_part) IS NOT NULL THEN
      EXECUTE format('SELECT xid, id FROM %I ORDER BY xid DESC, id DESC LIMIT 1', v_part) INTO v_last_xid, v_last_id;
      IF v_day + 2 < v_before AND (v_last_id IS NULL OR (v_last_xid, v_last_id) <= (v_end_xid, v_end_id)) THEN
        EXECUTE format('DROP TABLE %I', v_part);
        v_kept_from := greatest(v_kept_from, (v_day + 1)::timestamp AT TIME ZONE 'UTC');
      ELSE
        EXECUTE format('WITH gone AS (DELETE FROM %1$I WHERE id IN (SELECT l.id FROM %1$I l WHERE (l.xid, l.id) <= ($1, $2) '
                       'ORDER BY l.xid, l.id LIMIT $3) RETURNING id) '
                       'SELECT (SELECT count(*) FROM gone), (SELECT id FROM gone ORDER BY id DESC LIMIT 1)', v_part)
          INTO v_gone, v_gone_id USING v_end_xid, v_end_id, v_most;
        IF v_gone > 0 THEN -- the first 48 bits of an id are milliseconds since the epoch (RFC 9562)
          v_kept_from := greatest(v_kept_from, to_timestamp(
            (('x' || lpad(left(replace(v_gone_id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint + 1) / 1000.0));
        END IF;
        EXIT WHEN v_gone = v_most;
      END IF;
    END IF;
    IF v_day + 3 < v_before THEN
      FOREACH v_part IN ARRAY ARRAY['audit_seals_', 'audit_checkpoints_'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', v_part || to_char(v_day, 'YYYYMMDD'));
      END LOOP;
    END IF;
  END LOOP;
  RETURN v_kept_from;
END $$;

DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION rdev_append_links(bigint, bytea, xid8, uuid, uuid[], bytea[], bytea[]) SET search_path = %I, pg_temp',
                 current_schema());
  REVOKE EXECUTE ON FUNCTION rdev_append_links(bigint, bytea, xid8, uuid, uuid[], bytea[], bytea[]) FROM PUBLIC;
END $$;

-- As before, with less: the service says neither when a record was written nor in which transaction, and appends to the chain by
-- the function alone.
CREATE OR REPLACE FUNCTION rdev_grant_service(p_role name) RETURNS void LANGUAGE plpgsql AS $$
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

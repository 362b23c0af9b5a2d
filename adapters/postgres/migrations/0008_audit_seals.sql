-- The audit log cannot be rewritten unseen: records are inserted unchained, and one node after the other appends links of
-- a hash chain over them, in the order of their transactions, with signed checkpoints. All three tables only grow.

ALTER TABLE audit_log ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
COMMENT ON COLUMN audit_log.xid IS 'Transaction that wrote it: what is older than every open one is complete, so nothing is skipped';
CREATE INDEX audit_order_ix ON audit_log (xid, id);

CREATE TABLE audit_seals (
  seq       bigint NOT NULL CHECK (seq >= 1),
  at        timestamptz NOT NULL,
  row_id    uuid NOT NULL,
  xid       xid8 NOT NULL,
  row_hash  bytea NOT NULL,
  prev_hash bytea NOT NULL,
  hash      bytea NOT NULL,
  PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE audit_seals IS 'The chain over audit_log; docs/audit.md says what is hashed. `at` never runs backwards';
CREATE INDEX audit_seals_at_ix ON audit_seals (at);

CREATE TABLE audit_checkpoints (
  seq       bigint NOT NULL CHECK (seq >= 0),
  at        timestamptz NOT NULL,
  hash      bytea NOT NULL,
  first_seq bigint NOT NULL,
  kept_from timestamptz,
  key       text NOT NULL,
  signature bytea NOT NULL,
  PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE audit_checkpoints IS 'How far the chain went, signed (Ed25519)';

CREATE TABLE audit_keys (
  id          text PRIMARY KEY,
  public_key  bytea NOT NULL,
  private_key bytea NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_keys IS 'What checkpoints are signed with; private keys are sealed. The newest one signs';

CREATE TABLE audit_sealer (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  node_id  uuid
) WITH (fillfactor = 20);
INSERT INTO audit_sealer DEFAULT VALUES;
COMMENT ON TABLE audit_sealer IS 'Which node seals; it counts while the node does. Whoever appends to the chain holds the lock of this row';

-- As before, and days of the chain.
CREATE OR REPLACE FUNCTION rdev_make_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  d date;
  t text;
  part text;
  v_from timestamptz;
  v_to timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(7233960001);
  FOR d IN SELECT generate_series(current_date - 1, current_date + 8, '1 day')::date LOOP
    v_from := d::timestamp AT TIME ZONE 'UTC';
    v_to := (d + 1)::timestamp AT TIME ZONE 'UTC';
    FOREACH t IN ARRAY ARRAY['command', 'command_result', 'output_chunk', 'audit_log', 'event', 'webhook_delivery',
                             'webhook_attempt'] LOOP
      part := t || '_' || to_char(d, 'YYYYMMDD');
      IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, t,
                       rdev_uuid7_floor(v_from), rdev_uuid7_floor(v_to));
      END IF;
    END LOOP;
    FOREACH t IN ARRAY ARRAY['audit_seals', 'audit_checkpoints'] LOOP
      part := t || '_' || to_char(d, 'YYYYMMDD');
      IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, t, v_from, v_to);
      END IF;
    END LOOP;
  END LOOP;
END $$;
SELECT rdev_make_partitions();

-- Whether this node may append now: it holds the row's lock until the end of its transaction. Nobody waits for anybody.
CREATE FUNCTION rdev_may_seal(p_node uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_owner uuid;
BEGIN
  SELECT node_id INTO v_owner FROM audit_sealer FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF v_owner IS NOT DISTINCT FROM p_node THEN
    RETURN true;
  END IF;
  IF EXISTS (SELECT 1 FROM node n WHERE n.id = v_owner AND n.expires_at > clock_timestamp()) THEN
    RETURN false;
  END IF;
  UPDATE audit_sealer SET node_id = p_node;
  RETURN true;
END $$;

-- The next records of the chain, behind this one. What a transaction that is still open may yet commit is waited for.
CREATE FUNCTION rdev_unsealed(p_xid xid8, p_row uuid, p_most int) RETURNS SETOF audit_log
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_sort = off AS $$
BEGIN
  RETURN QUERY
  SELECT * FROM audit_log l
   WHERE (l.xid, l.id) > (p_xid, p_row) AND l.xid < pg_snapshot_xmin(pg_current_snapshot())
   ORDER BY l.xid, l.id LIMIT p_most;
END $$;

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

-- Removes records that are older than `keep`, and a day later their links. Gives the beginning of what is kept, when that has
-- changed. Only within a transaction that may seal. What goes is the beginning of the chain: all up to the last record of the days that go, and nothing that stands
-- behind a record that is kept, or is not sealed. So the day after them, which is past its time as well, loses the few records that
-- were written while the last of them were; and a day that has one which was sealed much later keeps that one.
CREATE FUNCTION rdev_retire_audit_days(keep interval) RETURNS timestamptz LANGUAGE plpgsql AS $$
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

-- As before, but records are left to rdev_retire_audit_days(), also by nodes of the version before.
CREATE OR REPLACE FUNCTION rdev_drop_partitions(p_table text, keep interval) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  part text;
  d timestamptz;
  n int := 0;
BEGIN
  IF p_table = 'audit_log' THEN
    RETURN 0;
  END IF;
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = p_table::regclass
                 AND CASE WHEN c.relname ~ '_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END + 1
                     < (clock_timestamp() - keep)::date LOOP
    d := to_date(right(part, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
    CONTINUE WHEN p_table NOT IN ('webhook_delivery', 'webhook_attempt')
              AND (EXISTS (SELECT 1 FROM queue_item WHERE command_id >= rdev_uuid7_floor(d)
                                                      AND command_id < rdev_uuid7_floor(d + interval '1 day'))
                   OR EXISTS (SELECT 1 FROM lease WHERE command_id >= rdev_uuid7_floor(d)
                                                    AND command_id < rdev_uuid7_floor(d + interval '1 day')));
    EXECUTE format('DROP TABLE %I', part);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

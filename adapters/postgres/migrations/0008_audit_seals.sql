-- The audit log cannot be rewritten unseen: records are inserted unchained, and one node after the other appends links of
-- a hash chain over them, in the order of their transactions, with signed checkpoints. All three tables only grow.

ALTER TABLE audit_log ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
COMMENT ON COLUMN audit_log.xid IS 'Transaction that wrote it: what is older than every open one is complete, so nothing is skipped';
CREATE INDEX audit_order_ix ON audit_log (xid, id);

CREATE TABLE audit_seals (
  seq       bigint NOT NULL,
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
  seq       bigint NOT NULL,
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

-- Removes whole days of records that are older than `keep` and all sealed, and a day later their links. Gives the beginning
-- of what is kept, when that has changed. Only within a transaction that may seal.
CREATE FUNCTION rdev_retire_audit(keep interval) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  v_sealed_xid xid8 := coalesce((SELECT s.xid FROM audit_seals s ORDER BY s.seq DESC LIMIT 1), '0');
  v_part record;
  v_unsealed boolean;
  v_kept_from timestamptz;
BEGIN
  FOR v_part IN SELECT c.relname, i.inhparent::regclass::text AS parent, d.day
                  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 CROSS JOIN LATERAL (SELECT CASE WHEN c.relname ~ '_[0-9]{8}$'
                                                 THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day) AS d
                 WHERE i.inhparent IN ('audit_log'::regclass, 'audit_seals'::regclass, 'audit_checkpoints'::regclass)
                   AND d.day + 1 < (clock_timestamp() - keep)::date
                 ORDER BY d.day, parent LOOP
    IF v_part.parent = 'audit_log' THEN
      EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE xid > $1)', v_part.relname) INTO v_unsealed USING v_sealed_xid;
      EXIT WHEN v_unsealed;
      EXECUTE format('DROP TABLE %I', v_part.relname);
      v_kept_from := (v_part.day + 1)::timestamp AT TIME ZONE 'UTC';
    ELSIF v_part.day + 2 < (clock_timestamp() - keep)::date THEN
      EXECUTE format('DROP TABLE %I', v_part.relname);
    END IF;
  END LOOP;
  RETURN v_kept_from;
END $$;

-- As before, but records are left to rdev_retire_audit(), also by nodes of the version before.
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

-- State is where a row lives: queue_item (ready) -> lease (running) -> command_result (ended). The big tables are
-- insert-only and partitioned by day on UUIDv7 ids, whose first 48 bits are a time; only the small ones see updates.

CREATE FUNCTION rdev_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
           PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
           52, 1), 53, 1), 'hex')::uuid
$$;
COMMENT ON FUNCTION rdev_uuid7 IS 'UUIDv7 (RFC 9562) of the database''s clock, for rows whose id nobody has to know beforehand';

CREATE FUNCTION rdev_uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION rdev_uuid7_floor IS 'The smallest UUIDv7 of a time: a bound of a partition';

CREATE TABLE api_keys (
  id           uuid PRIMARY KEY,
  name         text NOT NULL,
  key_prefix   text NOT NULL UNIQUE,
  key_hash     bytea NOT NULL,
  hash_scheme  smallint NOT NULL DEFAULT 1,
  scopes       text[] NOT NULL,
  project_ids  text[],
  allowed_ips  text[],
  rate_limit   int,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by   uuid,
  expires_at   timestamptz,
  last_used_at timestamptz,
  last_used_ip text,
  revoked_at   timestamptz,
  revoked_by   uuid,
  rotated_from uuid,
  family       uuid NOT NULL
);
COMMENT ON TABLE api_keys IS 'Keys by their look-up prefix; the secret is stored as a hash only';
COMMENT ON COLUMN api_keys.allowed_ips IS 'NULL = unrestricted';
COMMENT ON COLUMN api_keys.project_ids IS 'NULL = all projects';
COMMENT ON COLUMN api_keys.family IS 'First key of a chain of rotations';
CREATE INDEX api_keys_family_ix ON api_keys (family);

CREATE TABLE auth_epoch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO auth_epoch DEFAULT VALUES;
COMMENT ON TABLE auth_epoch IS 'Grows with every revocation: what is cached of keys is older than it or not';

CREATE TABLE command (
  id         uuid NOT NULL PRIMARY KEY,
  project    text NOT NULL,
  key_id     uuid NOT NULL,
  family     uuid NOT NULL,
  type       text NOT NULL CHECK (type IN ('shell', 'git', 'claude')),
  priority   smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
  timeout_s  int NOT NULL,
  created_at timestamptz NOT NULL,
  spec       jsonb NOT NULL
) PARTITION BY RANGE (id);
COMMENT ON TABLE command IS 'What was asked for; written once';
COMMENT ON COLUMN command.spec IS 'script, argv, prompt, workdir and the names (not the values) of env';
CREATE INDEX command_project_ix ON command (project, id);

CREATE TABLE command_result (
  command_id  uuid NOT NULL PRIMARY KEY,
  project     text NOT NULL,
  status      text NOT NULL CHECK (status IN ('completed', 'failed', 'timed_out', 'cancelled', 'lost')),
  reason      text,
  exit_code   int,
  signal      text,
  survivors   int NOT NULL DEFAULT 0,
  started_at  timestamptz,
  finished_at timestamptz NOT NULL,
  out_bytes   bigint NOT NULL DEFAULT 0,
  out_sha256  text NOT NULL DEFAULT '',
  out_total   bigint NOT NULL DEFAULT 0,
  err_bytes   bigint NOT NULL DEFAULT 0,
  err_sha256  text NOT NULL DEFAULT '',
  err_total   bigint NOT NULL DEFAULT 0,
  complete    boolean NOT NULL DEFAULT false
) PARTITION BY RANGE (command_id);
COMMENT ON TABLE command_result IS 'How a command ended; written once, under the token of its lease';
CREATE INDEX command_result_finished_ix ON command_result (finished_at);

CREATE TABLE output_chunk (
  command_id uuid NOT NULL,
  seq        int NOT NULL,
  stream     smallint NOT NULL CHECK (stream IN (0, 1)),
  marker     boolean NOT NULL DEFAULT false,
  off        bigint NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  data       bytea COMPRESSION lz4 NOT NULL CHECK (octet_length(data) <= 65536),
  PRIMARY KEY (command_id, seq)
) PARTITION BY RANGE (command_id);
COMMENT ON TABLE output_chunk IS 'Output of both streams in one order; a marker says that the cap was reached';

CREATE TABLE audit_log (
  id         uuid NOT NULL PRIMARY KEY DEFAULT rdev_uuid7(),
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor_key  uuid,
  actor_name text NOT NULL,
  action     text NOT NULL,
  target     text NOT NULL,
  project    text,
  outcome    text NOT NULL,
  reason     text NOT NULL DEFAULT '',
  client_ip  text NOT NULL DEFAULT '',
  request_id text NOT NULL DEFAULT '',
  trace_id   text NOT NULL DEFAULT '',
  detail     jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (id);
COMMENT ON TABLE audit_log IS 'Who did what, from where; rows of commands, keys and projects stand in the transaction of the thing';

CREATE TABLE event (
  id         uuid NOT NULL PRIMARY KEY DEFAULT rdev_uuid7(),
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  event      text NOT NULL,
  project    text,
  command_id uuid,
  key_id     uuid,
  data       jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (id);
COMMENT ON TABLE event IS 'Outbox: facts, each written in its own transaction, from which webhook deliveries are made';

CREATE TABLE command_secret (
  command_id uuid PRIMARY KEY,
  env        bytea NOT NULL
);
COMMENT ON TABLE command_secret IS 'Sealed values of a command''s env; gone with the transaction that ends the command';

CREATE TABLE queue_item (
  command_id uuid PRIMARY KEY,
  project    text NOT NULL,
  priority   smallint NOT NULL,
  ready_at   timestamptz NOT NULL,
  eff_ms     bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON COLUMN queue_item.eff_ms IS 'Ready time plus the handicap of the priority, in ms: ageing folded in';
CREATE INDEX queue_item_order_ix ON queue_item (project, eff_ms, command_id);

CREATE SEQUENCE lease_token;
CREATE TABLE lease (
  command_id   uuid PRIMARY KEY,
  project      text NOT NULL,
  priority     smallint NOT NULL,
  node_id      uuid NOT NULL,
  token        bigint NOT NULL,
  attempt      int NOT NULL DEFAULT 1,
  start_intent text NOT NULL,
  started_at   timestamptz NOT NULL,
  cancel       text CHECK (cancel IN ('user', 'timeout'))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE lease IS 'Only running commands; every write about one carries its token';
CREATE INDEX lease_project_ix ON lease (project);
CREATE INDEX lease_node_ix ON lease (node_id);

CREATE TABLE idempotency (
  family      uuid NOT NULL,
  scope_hash  bytea NOT NULL,
  body_digest bytea NOT NULL,
  resource    text NOT NULL,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (family, scope_hash)
);
COMMENT ON TABLE idempotency IS 'What a repeated POST is answered with: scope = key family, method, path and Idempotency-Key';
CREATE INDEX idempotency_expires_ix ON idempotency (expires_at);

CREATE TABLE node (
  id           uuid PRIMARY KEY,
  name         text NOT NULL,
  address      text NOT NULL,
  runner_scope text NOT NULL,
  started_at   timestamptz NOT NULL,
  expires_at   timestamptz NOT NULL
) WITH (fillfactor = 20);
COMMENT ON TABLE node IS 'Nodes and how long they count as alive: one heartbeat for all leases of a node';

-- One partition a day and table, from yesterday to eight days ahead.
CREATE FUNCTION rdev_make_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  d date;
  t text;
  part text;
BEGIN
  PERFORM pg_advisory_xact_lock(7233960001);
  FOR d IN SELECT generate_series(current_date - 1, current_date + 8, '1 day')::date LOOP
    FOREACH t IN ARRAY ARRAY['command', 'command_result', 'output_chunk', 'audit_log', 'event'] LOOP
      part := t || '_' || to_char(d, 'YYYYMMDD');
      IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, t,
                       rdev_uuid7_floor(d::timestamp AT TIME ZONE 'UTC'), rdev_uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC'));
      END IF;
    END LOOP;
  END LOOP;
END $$;

CREATE FUNCTION rdev_drop_partitions(p_table text, keep interval) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  part text;
  n int := 0;
BEGIN
  -- The day is read off the name only of what is known to be a partition: the planner may look at other names first.
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = p_table::regclass
                 AND CASE WHEN c.relname ~ '_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END + 1
                     < (clock_timestamp() - keep)::date LOOP
    EXECUTE format('DROP TABLE %I', part);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- Takes ready commands, fair between projects: each candidate is ranked by how many commands its project would then be
-- running, and among equals by age and priority. One claimer at a time makes the caps exact; it takes about a millisecond.
CREATE FUNCTION rdev_claim(p_node uuid, p_intent text, p_most int, p_per_project int)
RETURNS SETOF lease LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM queue_item) THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(7233960002);
  RETURN QUERY
  WITH RECURSIVE busy AS (
    SELECT l.project, count(*)::int AS n FROM lease l GROUP BY l.project
  ), waiting(project) AS (
    (SELECT q.project FROM queue_item q ORDER BY q.project LIMIT 1)
    UNION ALL
    SELECT (SELECT q.project FROM queue_item q WHERE q.project > w.project ORDER BY q.project LIMIT 1)
      FROM waiting w WHERE w.project IS NOT NULL
  ), head AS (
    SELECT h.command_id, h.eff_ms,
           row_number() OVER (PARTITION BY w.project ORDER BY h.eff_ms, h.command_id) + coalesce(b.n, 0) AS rank
      FROM waiting w LEFT JOIN busy b ON b.project = w.project
     CROSS JOIN LATERAL (
       SELECT q.command_id, q.eff_ms FROM queue_item q WHERE q.project = w.project ORDER BY q.eff_ms, q.command_id
        LIMIT greatest(0, least(p_most, p_per_project - coalesce(b.n, 0)))) h
     WHERE w.project IS NOT NULL
  ), taken AS (
    DELETE FROM queue_item q
     WHERE q.command_id = ANY (ARRAY(SELECT h.command_id FROM head h ORDER BY h.rank, h.eff_ms LIMIT p_most))
    RETURNING q.command_id, q.project, q.priority
  ), told AS (
    INSERT INTO event (event, project, command_id, data)
    SELECT 'command.started', t.project, t.command_id, '{}' FROM taken t
  )
  INSERT INTO lease (command_id, project, priority, node_id, token, start_intent, started_at)
  SELECT t.command_id, t.project, t.priority, p_node, nextval('lease_token'), p_intent, clock_timestamp() FROM taken t
  RETURNING *;
END $$;

-- Queued: ends as cancelled. Running: the wish is recorded, the first reason wins.
CREATE FUNCTION rdev_cancel(p_command uuid, p_reason text, p_key uuid, p_actor text, p_ip text, p_request text, p_trace text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_project text;
  v_verdict text;
  v_empty text := 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
BEGIN
  DELETE FROM queue_item WHERE command_id = p_command RETURNING project INTO v_project;
  IF FOUND THEN
    v_verdict := 'never_ran';
    DELETE FROM command_secret WHERE command_id = p_command;
    INSERT INTO command_result (command_id, project, status, reason, finished_at, out_sha256, err_sha256)
    VALUES (p_command, v_project, 'cancelled', 'it was cancelled before it was started', clock_timestamp(), v_empty, v_empty);
    INSERT INTO event (event, project, command_id, key_id) VALUES ('command.cancelled', v_project, p_command, p_key);
  ELSE
    UPDATE lease SET cancel = coalesce(cancel, p_reason) WHERE command_id = p_command RETURNING project INTO v_project;
    IF FOUND THEN
      v_verdict := 'requested';
    ELSIF EXISTS (SELECT 1 FROM command_result WHERE command_id = p_command) THEN
      RETURN 'ended';
    ELSE
      RETURN 'not_found';
    END IF;
  END IF;
  INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id)
  VALUES (p_key, p_actor, 'command.cancel', p_command::text, v_project, 'done', p_reason, p_ip, p_request, p_trace);
  RETURN v_verdict;
END $$;

SELECT rdev_make_partitions();

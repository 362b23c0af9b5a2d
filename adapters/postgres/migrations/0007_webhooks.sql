-- Webhooks. Facts stand in the outbox (`event`); deliveries are made of them in the order of their transactions. State is
-- where a row lives: a delivery waits in webhook_due; one that does not was given up if it is in webhook_failed, else it was
-- delivered. The big tables only grow.

-- Rows of before get the transaction of this migration, and the cursor below stands behind it: they are never told.
ALTER TABLE event ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
COMMENT ON COLUMN event.xid IS 'Transaction that wrote it: what is older than every open one is complete, so nothing is skipped';
CREATE INDEX event_order_ix ON event (xid, id);

CREATE TABLE webhook (
  id              uuid PRIMARY KEY,
  url             text NOT NULL,
  events          text[] NOT NULL,
  projects        text[],
  description     text NOT NULL DEFAULT '',
  enabled         boolean NOT NULL DEFAULT true,
  ordered         boolean NOT NULL DEFAULT false,
  disabled_reason text NOT NULL DEFAULT '',
  failing_since   timestamptz,
  secret          bytea NOT NULL,
  former_secret   bytea,
  former_until    timestamptz,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_by      uuid,
  revision        int NOT NULL DEFAULT 0,
  since           xid8 NOT NULL DEFAULT pg_current_xact_id(),
  sequence        bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE webhook IS 'Endpoints that are told what happens; secrets are sealed. Locked in the order of their ids, and before their deliveries';
COMMENT ON COLUMN webhook.since IS 'Facts of later transactions are delivered';
COMMENT ON COLUMN webhook.sequence IS 'Of the last delivery that was made';
COMMENT ON COLUMN webhook.projects IS 'NULL = all, and what belongs to no project';

CREATE TABLE webhook_cursor (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  xid      xid8 NOT NULL,
  event_id uuid NOT NULL,
  at       timestamptz NOT NULL,
  tick     bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
COMMENT ON TABLE webhook_cursor IS 'The last fact of which deliveries have been made';
COMMENT ON COLUMN webhook_cursor.at IS 'When it was written: no later fact has an id that is a day older';
COMMENT ON COLUMN webhook_cursor.tick IS 'Of the last delivery, see rdev_uuid7_of_tick';
INSERT INTO webhook_cursor (xid, event_id, at)
VALUES (pg_current_xact_id(), 'ffffffff-ffff-ffff-ffff-ffffffffffff', clock_timestamp());

CREATE TABLE webhook_delivery (
  webhook_id uuid NOT NULL,
  id         uuid NOT NULL,
  event_id   uuid NOT NULL,
  event      text NOT NULL,
  sequence   bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (webhook_id, id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE webhook_delivery IS 'One fact for one endpoint; written once. Ids grow with sequences';

CREATE TABLE webhook_attempt (
  delivery_id uuid NOT NULL,
  at          timestamptz NOT NULL,
  status      int,
  latency_ms  bigint NOT NULL,
  error       text NOT NULL,
  body        text NOT NULL
) PARTITION BY RANGE (delivery_id);
COMMENT ON TABLE webhook_attempt IS 'Every attempt of a delivery, also those that were made again for a user; written once';
CREATE INDEX webhook_attempt_delivery_ix ON webhook_attempt (delivery_id, at);

CREATE TABLE webhook_due (
  webhook_id  uuid NOT NULL,
  delivery_id uuid NOT NULL,
  event_id    uuid NOT NULL,
  sequence    bigint NOT NULL,
  due_at      timestamptz NOT NULL,
  attempts    int NOT NULL DEFAULT 0,
  PRIMARY KEY (webhook_id, delivery_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE webhook_due IS 'Deliveries that wait, and when they are due. Locked in the order of their ids';
COMMENT ON COLUMN webhook_due.attempts IS 'That failed in the present schedule';
CREATE INDEX webhook_due_at_ix ON webhook_due (webhook_id, due_at, delivery_id);

CREATE TABLE webhook_failed (
  webhook_id  uuid NOT NULL,
  delivery_id uuid NOT NULL,
  PRIMARY KEY (webhook_id, delivery_id)
);
COMMENT ON TABLE webhook_failed IS 'Deliveries whose schedule ended without success; a later success takes them out';

CREATE TABLE webhook_lease (
  webhook_id uuid PRIMARY KEY,
  node_id    uuid NOT NULL,
  token      bigint NOT NULL
);
COMMENT ON TABLE webhook_lease IS 'Which node delivers to an endpoint; it counts while the node does';
CREATE INDEX webhook_lease_node_ix ON webhook_lease (node_id);

CREATE OR REPLACE FUNCTION rdev_make_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  d date;
  t text;
  part text;
BEGIN
  PERFORM pg_advisory_xact_lock(7233960001);
  FOR d IN SELECT generate_series(current_date - 1, current_date + 8, '1 day')::date LOOP
    FOREACH t IN ARRAY ARRAY['command', 'command_result', 'output_chunk', 'audit_log', 'event', 'webhook_delivery',
                             'webhook_attempt'] LOOP
      part := t || '_' || to_char(d, 'YYYYMMDD');
      IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, t,
                       rdev_uuid7_floor(d::timestamp AT TIME ZONE 'UTC'), rdev_uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC'));
      END IF;
    END LOOP;
  END LOOP;
END $$;
SELECT rdev_make_partitions();

-- As before, but what waits or runs keeps nothing of webhooks.
CREATE OR REPLACE FUNCTION rdev_drop_partitions(p_table text, keep interval) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  part text;
  d timestamptz;
  n int := 0;
BEGIN
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

-- Drops the days of deliveries that rdev_drop_partitions() drops, and what is left of them elsewhere, some rows a time.
CREATE FUNCTION rdev_drop_deliveries(keep interval, p_most int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_end uuid := rdev_uuid7_floor(((clock_timestamp() - keep)::date - 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
  DELETE FROM webhook_due WHERE ctid = ANY (ARRAY(
    SELECT d.ctid FROM webhook_due d LEFT JOIN webhook w ON w.id = d.webhook_id
     WHERE d.delivery_id < v_end OR w.id IS NULL ORDER BY d.delivery_id LIMIT p_most));
  DELETE FROM webhook_failed WHERE ctid = ANY (ARRAY(
    SELECT f.ctid FROM webhook_failed f LEFT JOIN webhook w ON w.id = f.webhook_id
     WHERE f.delivery_id < v_end OR w.id IS NULL LIMIT p_most));
  DELETE FROM webhook_lease l WHERE NOT EXISTS (SELECT 1 FROM webhook w WHERE w.id = l.webhook_id);
  PERFORM rdev_drop_partitions('webhook_delivery', keep), rdev_drop_partitions('webhook_attempt', keep);
END $$;

CREATE FUNCTION rdev_uuid7_of_tick(p_tick bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT (lpad(to_hex(p_tick >> 12), 12, '0') || '7' || lpad(to_hex(p_tick & 4095), 3, '0')
          || right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid
$$;
COMMENT ON FUNCTION rdev_uuid7_of_tick IS 'UUIDv7 with a counter (RFC 9562, 6.2): ids grow with ticks, 4096 of which are a millisecond';

CREATE FUNCTION rdev_filters_of(p_event text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
  SELECT ARRAY['*', p_event, split_part(p_event, '.', 1) || '.*']
$$;
COMMENT ON FUNCTION rdev_filters_of IS 'The filters that an event passes';

CREATE FUNCTION rdev_bare_url(p_url text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT regexp_replace(regexp_replace(p_url, '[?#].*$', ''), '^([^:/]+://)[^/]*@', '\1')
$$;
COMMENT ON FUNCTION rdev_bare_url IS 'Without query and user info, which may hold secrets';

-- Makes deliveries of the next facts. A transaction that is still open may yet commit facts of its own: only what is
-- older than all of them is taken. One at a time; who had to wait goes by a new picture of the database.
-- o_more: further ones can be taken now; o_held: others are there that must wait for an open transaction.
CREATE FUNCTION rdev_spread(p_most int, OUT o_events int, OUT o_webhooks uuid[], OUT o_more boolean, OUT o_held boolean)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_from webhook_cursor;
  v_horizon xid8;
  v_floor uuid;
  v_tick bigint;
  v_now timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(7233960005);
  SELECT * INTO v_from FROM webhook_cursor;
  v_horizon := pg_snapshot_xmin(pg_current_snapshot());
  v_floor := rdev_uuid7_floor(v_from.at - interval '1 day');
  v_now := clock_timestamp();
  v_tick := greatest((extract(epoch FROM v_now) * 1000)::bigint << 12, v_from.tick);
  WITH seen AS MATERIALIZED (
    SELECT e.id, e.at, e.event, e.project, e.xid, e.data, row_number() OVER (ORDER BY e.xid, e.id) AS n
      FROM event e WHERE e.id >= v_floor AND (e.xid, e.id) > (v_from.xid, v_from.event_id)
     ORDER BY e.xid, e.id LIMIT p_most + 1
  ), batch AS MATERIALIZED (
    SELECT s.*, rdev_filters_of(s.event) AS filters, s.data ->> 'webhook' AS about FROM seen s
     WHERE s.n <= p_most AND s.xid < v_horizon
  ), wanted AS MATERIALIZED (
    SELECT w.id AS webhook_id, b.n, b.id AS event_id, b.event
      FROM batch b JOIN webhook w ON w.since < b.xid AND w.events && b.filters
     WHERE (w.projects IS NULL OR b.project = ANY (w.projects)) AND b.event <> 'webhook.test'
       AND NOT (b.event = 'webhook.disabled' AND b.about = w.id::text)
  ), locked AS MATERIALIZED (
    SELECT w.id, w.sequence FROM webhook w WHERE w.id IN (SELECT webhook_id FROM wanted) ORDER BY w.id FOR NO KEY UPDATE
  ), hit AS MATERIALIZED (
    SELECT rdev_uuid7_of_tick(v_tick + row_number() OVER (ORDER BY m.n, m.webhook_id)) AS delivery_id, m.webhook_id, m.event_id,
           m.event, l.sequence + row_number() OVER (PARTITION BY m.webhook_id ORDER BY m.n) AS sequence
      FROM wanted m JOIN locked l ON l.id = m.webhook_id
  ), made AS (
    INSERT INTO webhook_delivery (id, webhook_id, event_id, event, sequence)
    SELECT delivery_id, webhook_id, event_id, event, sequence FROM hit
  ), due AS (
    INSERT INTO webhook_due (delivery_id, webhook_id, event_id, sequence, due_at)
    SELECT delivery_id, webhook_id, event_id, sequence, v_now FROM hit
  ), counted AS (
    UPDATE webhook w SET sequence = h.last FROM (SELECT webhook_id, max(sequence) AS last FROM hit GROUP BY 1) AS h
     WHERE w.id = h.webhook_id
  ), moved AS (
    UPDATE webhook_cursor c SET xid = b.xid, event_id = b.id, at = b.at, tick = v_tick + (SELECT count(*) FROM hit)
      FROM (SELECT xid, id, at FROM batch ORDER BY n DESC LIMIT 1) AS b
  )
  SELECT (SELECT count(*) FROM batch), ARRAY(SELECT DISTINCT webhook_id FROM hit),
         EXISTS (SELECT 1 FROM seen s WHERE s.n > p_most AND s.xid < v_horizon),
         EXISTS (SELECT 1 FROM seen s WHERE s.xid >= v_horizon)
    INTO o_events, o_webhooks, o_more, o_held;
END $$;

-- Takes endpoints that no living node delivers to, up to a fair share. One at a time, so that shares are exact.
CREATE FUNCTION rdev_own(p_node uuid, OUT o_left bigint, OUT o_share int) LANGUAGE plpgsql AS $$
DECLARE
  v_nodes int;
  v_mine int;
BEGIN
  PERFORM pg_advisory_xact_lock(7233960006);
  SELECT count(*), coalesce(max((extract(epoch FROM n.expires_at - clock_timestamp()) * 1000)::bigint) FILTER (WHERE n.id = p_node), 0)
    INTO v_nodes, o_left FROM node n WHERE n.expires_at > clock_timestamp();
  SELECT ceil(count(*)::numeric / greatest(v_nodes, 1)), count(*) FILTER (WHERE l.node_id = p_node) INTO o_share, v_mine
    FROM webhook w LEFT JOIN webhook_lease l ON l.webhook_id = w.id WHERE w.enabled;
  IF o_left <= 0 OR v_mine >= o_share THEN
    RETURN;
  END IF;
  INSERT INTO webhook_lease AS l (webhook_id, node_id, token)
  SELECT f.id, p_node, nextval('lease_token') FROM (
    SELECT w.id FROM webhook w LEFT JOIN webhook_lease x ON x.webhook_id = w.id
                               LEFT JOIN node n ON n.id = x.node_id AND n.expires_at > clock_timestamp()
     WHERE w.enabled AND n.id IS NULL ORDER BY w.id LIMIT o_share - v_mine) AS f
  ON CONFLICT (webhook_id) DO UPDATE SET node_id = excluded.node_id, token = excluded.token
   WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = l.node_id AND n.expires_at > clock_timestamp());
END $$;

CREATE FUNCTION rdev_bounds(p_ids uuid[], OUT o_least uuid, OUT o_greatest uuid) LANGUAGE sql IMMUTABLE AS $$
  SELECT (array_agg(u ORDER BY u))[1], (array_agg(u ORDER BY u DESC))[1] FROM unnest(p_ids) AS u
$$;

-- What waits for an endpoint, what is due first first (ordered: what came first), with the facts. Look-ups in partitioned
-- tables stand between bounds that are known beforehand: the partitions of other days are not even opened.
CREATE FUNCTION rdev_due(p_webhook uuid, p_token bigint, p_most int)
RETURNS TABLE (o_delivery uuid, o_sequence bigint, o_attempts int, o_due_at timestamptz, o_event event, o_command_type text)
LANGUAGE plpgsql STABLE SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_ordered boolean;
  v_rows uuid[];
  v_events uuid[];
  v_commands uuid[];
  v_event record;
  v_command record;
BEGIN
  SELECT w.ordered INTO v_ordered FROM webhook_lease l JOIN webhook w ON w.id = l.webhook_id AND w.enabled
   WHERE l.webhook_id = p_webhook AND l.token = p_token;
  SELECT array_agg(d.delivery_id), array_agg(d.event_id) INTO v_rows, v_events FROM (
    (SELECT d.delivery_id, d.event_id FROM webhook_due d WHERE v_ordered AND d.webhook_id = p_webhook
      ORDER BY d.delivery_id LIMIT p_most)
    UNION ALL
    (SELECT d.delivery_id, d.event_id FROM webhook_due d WHERE NOT v_ordered AND d.webhook_id = p_webhook
      ORDER BY d.due_at, d.delivery_id LIMIT p_most)) AS d;
  IF v_rows IS NULL THEN
    RETURN;
  END IF;
  SELECT * INTO v_event FROM rdev_bounds(v_events);
  SELECT array_agg(e.command_id) INTO v_commands FROM unnest(v_events) AS u(id)
   CROSS JOIN LATERAL (SELECT x.command_id FROM event x
                        WHERE x.id = u.id AND x.id BETWEEN v_event.o_least AND v_event.o_greatest LIMIT 1) AS e;
  SELECT * INTO v_command FROM rdev_bounds(v_commands);
  RETURN QUERY
  SELECT d.delivery_id, d.sequence, d.attempts, d.due_at, e.fact, c.type
    FROM unnest(v_rows) WITH ORDINALITY AS u(id, n)
    JOIN webhook_due d ON d.webhook_id = p_webhook AND d.delivery_id = u.id
   CROSS JOIN LATERAL (SELECT x AS fact FROM event x
                        WHERE x.id = d.event_id AND x.id BETWEEN v_event.o_least AND v_event.o_greatest LIMIT 1) AS e
    LEFT JOIN LATERAL (SELECT x.type FROM command x
                        WHERE x.id = (e.fact).command_id AND x.id BETWEEN v_command.o_least AND v_command.o_greatest LIMIT 1) AS c
           ON true
   ORDER BY u.n;
END $$;

-- Disables endpoints, with an event and an audit row for each that was not; `p_failing_before`: only those that have been
-- failing since before that.
CREATE FUNCTION rdev_disable_webhooks(p_ids uuid[], p_reasons text[], p_failing_before timestamptz DEFAULT NULL)
RETURNS int LANGUAGE sql AS $$
  WITH told AS (
    SELECT DISTINCT ON (u.id) u.id, u.reason FROM unnest(p_ids, p_reasons) WITH ORDINALITY AS u(id, reason, n) ORDER BY u.id, u.n
  ), locked AS MATERIALIZED (
    SELECT w.id FROM webhook w
     WHERE w.id = ANY (p_ids) AND w.enabled AND (p_failing_before IS NULL OR w.failing_since <= p_failing_before)
     ORDER BY w.id FOR NO KEY UPDATE
  ), done AS (
    UPDATE webhook w SET enabled = false, disabled_reason = t.reason, revision = w.revision + 1
      FROM locked l JOIN told t ON t.id = l.id WHERE w.id = l.id
    RETURNING w.id, rdev_bare_url(w.url) AS url, w.disabled_reason AS reason
  ), e AS (
    INSERT INTO event (event, data)
    SELECT 'webhook.disabled', jsonb_build_object('webhook', id, 'url', url, 'reason', reason) FROM done
  ), a AS (
    INSERT INTO audit_log (actor_name, action, target, outcome, detail)
    SELECT 'system', 'webhook.disable', id::text, 'done', jsonb_build_object('url', url, 'reason', reason) FROM done
  )
  SELECT count(*)::int FROM done
$$;

-- Writes down attempts; the places in the arrays, from 1, of those that count: sent under the present lease, of deliveries
-- that wait.
CREATE FUNCTION rdev_record(p_webhooks uuid[], p_tokens bigint[], p_deliveries uuid[], p_outcomes text[], p_retry_in bigint[],
                            p_ago bigint[], p_statuses int[], p_latencies bigint[], p_errors text[], p_bodies text[])
RETURNS int[] LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_counted int[];
  v_gone uuid[];
  v_reasons text[];
BEGIN
  -- Those that fare otherwise than before.
  PERFORM 1 FROM (
    SELECT u.webhook, bool_or(u.outcome = 'delivered') AS good, bool_or(u.outcome <> 'delivered') AS bad,
           bool_or(u.outcome = 'disable') AS gone
      FROM unnest(p_webhooks, p_outcomes) AS u(webhook, outcome) GROUP BY 1) AS u
    JOIN webhook w ON w.id = u.webhook
   WHERE (u.good AND w.failing_since IS NOT NULL) OR (u.bad AND w.failing_since IS NULL) OR (u.gone AND w.enabled)
   ORDER BY w.id FOR NO KEY UPDATE OF w;
  WITH given AS MATERIALIZED (
    SELECT * FROM unnest(p_webhooks, p_tokens, p_deliveries, p_outcomes, p_retry_in, p_ago, p_statuses, p_latencies, p_errors,
                         p_bodies)
             WITH ORDINALITY AS u(webhook, token, delivery, outcome, retry_in, ago, status, latency, error, body, n)
     ORDER BY delivery
  ), fit AS MATERIALIZED (
    SELECT g.* FROM given g JOIN webhook_lease l ON l.webhook_id = g.webhook AND l.token = g.token
     CROSS JOIN LATERAL (SELECT 1 FROM webhook_due d WHERE d.webhook_id = g.webhook AND d.delivery_id = g.delivery
                            FOR UPDATE) AS d
  ), tried AS (
    INSERT INTO webhook_attempt (delivery_id, at, status, latency_ms, error, body)
    SELECT delivery, v_now - ago * interval '1 millisecond', status, latency, error, body FROM fit
  ), ended AS (
    DELETE FROM webhook_due d USING fit f
     WHERE f.outcome IN ('delivered', 'failed') AND d.webhook_id = f.webhook AND d.delivery_id = f.delivery
  ), kept AS (
    UPDATE webhook_due d SET attempts = d.attempts + 1,
           due_at = v_now + CASE f.outcome WHEN 'retry' THEN f.retry_in ELSE 0 END * interval '1 millisecond'
      FROM fit f WHERE f.outcome IN ('retry', 'disable') AND d.webhook_id = f.webhook AND d.delivery_id = f.delivery
  ), given_up AS (
    INSERT INTO webhook_failed (webhook_id, delivery_id) SELECT webhook, delivery FROM fit WHERE outcome = 'failed'
    ON CONFLICT DO NOTHING
  ), made_good AS (
    DELETE FROM webhook_failed x USING fit f
     WHERE f.outcome = 'delivered' AND x.webhook_id = f.webhook AND x.delivery_id = f.delivery
  ), judged AS (
    UPDATE webhook w
       SET failing_since = CASE WHEN h.last = 'delivered' THEN NULL WHEN h.good THEN v_now ELSE coalesce(w.failing_since, v_now) END
      FROM (SELECT webhook, (array_agg(outcome ORDER BY n DESC))[1] AS last, bool_or(outcome = 'delivered') AS good
              FROM fit GROUP BY 1) AS h
     WHERE w.id = h.webhook
       AND CASE WHEN h.last = 'delivered' THEN w.failing_since IS NOT NULL ELSE h.good OR w.failing_since IS NULL END
  )
  SELECT array_agg(n), array_agg(webhook ORDER BY n) FILTER (WHERE outcome = 'disable'),
         array_agg(coalesce(nullif(error, ''), 'the endpoint is gone') ORDER BY n) FILTER (WHERE outcome = 'disable')
    INTO v_counted, v_gone, v_reasons FROM fit;
  IF v_gone IS NOT NULL THEN
    PERFORM rdev_disable_webhooks(v_gone, v_reasons);
  END IF;
  RETURN coalesce(v_counted, '{}');
END $$;

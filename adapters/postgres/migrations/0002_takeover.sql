-- Take-over: which runner a command is for, who may attach to it, and under which token its result was written.

ALTER TABLE queue_item ADD COLUMN scope text NOT NULL DEFAULT '';
COMMENT ON COLUMN queue_item.scope IS 'Runner that it was queued for: nodes of another one leave it alone';
ALTER TABLE lease ADD COLUMN scope text NOT NULL DEFAULT '';
COMMENT ON COLUMN lease.scope IS 'Runner that it runs in: nodes of the same one can attach to it';
ALTER TABLE command_result ADD COLUMN token bigint;
COMMENT ON COLUMN command_result.token IS 'Of the lease it was written under: a repeat is told from a stale writer. NULL = it never ran';

ALTER TABLE node ADD COLUMN alive_since timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN node.alive_since IS 'Since when it has counted as alive without a break: who judges others must have been there';

-- Until now the scope was the last part of the tag of a boot.
UPDATE lease SET scope = regexp_replace(start_intent, '^.*/', '');
UPDATE queue_item SET scope = coalesce((SELECT regexp_replace(n.runner_scope, '^.*/', '') FROM node n
                                         ORDER BY n.expires_at DESC LIMIT 1), '');
UPDATE node SET runner_scope = regexp_replace(runner_scope, '^.*/', '');

DROP INDEX queue_item_order_ix;
CREATE INDEX queue_item_order_ix ON queue_item (scope, project, eff_ms, command_id);

-- As before, but within a runner's scope, and only for a node that counts as alive.
DROP FUNCTION rdev_claim(uuid, text, int, int);
CREATE FUNCTION rdev_claim(p_node uuid, p_scope text, p_intent text, p_most int, p_per_project int)
RETURNS SETOF lease LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM queue_item WHERE scope = p_scope) THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(7233960002);
  IF NOT EXISTS (SELECT 1 FROM node WHERE id = p_node AND expires_at > clock_timestamp()) THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH RECURSIVE busy AS (
    SELECT l.project, count(*)::int AS n FROM lease l WHERE l.scope = p_scope GROUP BY l.project
  ), waiting(project) AS (
    (SELECT q.project FROM queue_item q WHERE q.scope = p_scope ORDER BY q.project LIMIT 1)
    UNION ALL
    SELECT (SELECT q.project FROM queue_item q WHERE q.scope = p_scope AND q.project > w.project
             ORDER BY q.project LIMIT 1)
      FROM waiting w WHERE w.project IS NOT NULL
  ), head AS (
    SELECT h.command_id, h.eff_ms,
           row_number() OVER (PARTITION BY w.project ORDER BY h.eff_ms, h.command_id) + coalesce(b.n, 0) AS rank
      FROM waiting w LEFT JOIN busy b ON b.project = w.project
     CROSS JOIN LATERAL (
       SELECT q.command_id, q.eff_ms FROM queue_item q WHERE q.scope = p_scope AND q.project = w.project
        ORDER BY q.eff_ms, q.command_id LIMIT greatest(0, least(p_most, p_per_project - coalesce(b.n, 0)))) h
     WHERE w.project IS NOT NULL
  ), taken AS (
    DELETE FROM queue_item q
     WHERE q.command_id = ANY (ARRAY(SELECT h.command_id FROM head h ORDER BY h.rank, h.eff_ms LIMIT p_most))
    RETURNING q.command_id, q.project, q.priority
  ), told AS (
    INSERT INTO event (event, project, command_id, data)
    SELECT 'command.started', t.project, t.command_id, '{}' FROM taken t
  )
  INSERT INTO lease (command_id, project, priority, node_id, token, start_intent, started_at, scope)
  SELECT t.command_id, t.project, t.priority, p_node, nextval('lease_token'), p_intent, clock_timestamp(), p_scope
    FROM taken t
  RETURNING *;
END $$;

-- As before, but what still waits or runs keeps the partitions of its day, however long that takes.
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
    CONTINUE WHEN EXISTS (SELECT 1 FROM queue_item WHERE command_id >= rdev_uuid7_floor(d)
                                                     AND command_id < rdev_uuid7_floor(d + interval '1 day'))
               OR EXISTS (SELECT 1 FROM lease WHERE command_id >= rdev_uuid7_floor(d)
                                                AND command_id < rdev_uuid7_floor(d + interval '1 day'));
    EXECUTE format('DROP TABLE %I', part);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

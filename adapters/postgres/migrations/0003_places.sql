-- Commands of pods: only those whose pod is ready are claimed, and the start intent says which pod and container that is.

-- As before; `p_projects` and `p_intents`, of the same length, say where commands can be started now. NULL = everywhere,
-- with the intent `p_intent`.
CREATE FUNCTION rdev_claim(p_node uuid, p_scope text, p_intent text, p_most int, p_per_project int, p_projects text[],
                           p_intents text[])
RETURNS SETOF lease LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM queue_item WHERE scope = p_scope
                    AND (p_projects IS NULL OR project = ANY (p_projects))) THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(7233960002);
  IF NOT EXISTS (SELECT 1 FROM node WHERE id = p_node AND expires_at > clock_timestamp()) THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH RECURSIVE place AS (
    SELECT * FROM unnest(p_projects, p_intents) AS u(project, intent)
  ), busy AS (
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
       AND (p_projects IS NULL OR EXISTS (SELECT 1 FROM place p WHERE p.project = w.project))
  ), taken AS (
    DELETE FROM queue_item q
     WHERE q.command_id = ANY (ARRAY(SELECT h.command_id FROM head h ORDER BY h.rank, h.eff_ms LIMIT p_most))
    RETURNING q.command_id, q.project, q.priority
  ), told AS (
    INSERT INTO event (event, project, command_id, data)
    SELECT 'command.started', t.project, t.command_id, '{}' FROM taken t
  )
  INSERT INTO lease (command_id, project, priority, node_id, token, start_intent, started_at, scope)
  SELECT t.command_id, t.project, t.priority, p_node, nextval('lease_token'),
         coalesce((SELECT p.intent FROM place p WHERE p.project = t.project LIMIT 1), p_intent), clock_timestamp(), p_scope
    FROM taken t
  RETURNING *;
END $$;

-- For nodes of the version before.
CREATE OR REPLACE FUNCTION rdev_claim(p_node uuid, p_scope text, p_intent text, p_most int, p_per_project int)
RETURNS SETOF lease LANGUAGE sql AS $$
  SELECT * FROM rdev_claim(p_node, p_scope, p_intent, p_most, p_per_project, NULL, NULL)
$$;

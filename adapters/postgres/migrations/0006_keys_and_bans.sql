-- Rights that are taken away count nowhere any more when they are said to be gone; who guesses keys is locked out; keys
-- have a cap of their own and are watched.

ALTER TABLE node ADD COLUMN seen_epoch bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN node.seen_epoch IS 'The node serves no key any more as it was before this epoch';

ALTER TABLE api_keys
  ADD COLUMN concurrency_limit int,
  ADD COLUMN revoked_epoch bigint,
  ADD COLUMN expiry_told smallint,
  ADD COLUMN revision int NOT NULL DEFAULT 0;
COMMENT ON COLUMN api_keys.revision IS 'Grows with every change of what the key may do: a write for an older one is refused';
COMMENT ON COLUMN api_keys.concurrency_limit IS 'Commands of the key that may be queued or running at once; NULL = any number';
COMMENT ON COLUMN api_keys.revoked_epoch IS 'The epoch that its revocation began';
COMMENT ON COLUMN api_keys.expiry_told IS 'How many days ahead its end was announced last';
CREATE INDEX api_keys_revoked_epoch_ix ON api_keys (revoked_epoch) WHERE revoked_epoch IS NOT NULL;
CREATE INDEX api_keys_expires_ix ON api_keys (expires_at) WHERE revoked_at IS NULL;

ALTER TABLE auth_epoch ADD COLUMN pepper_check bytea;
COMMENT ON COLUMN auth_epoch.pepper_check IS 'Tells whether a pepper is the one that keys of hash_scheme 2 were made with';

CREATE FUNCTION rdev_raise_epoch() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  UPDATE auth_epoch SET epoch = epoch + 1 RETURNING epoch
$$;
COMMENT ON FUNCTION rdev_raise_epoch IS 'In the transaction that takes a right away; its row lock makes epochs commit in their order';

DROP TRIGGER key_changed ON api_keys;
CREATE TRIGGER key_changed
  AFTER UPDATE OF name, key_hash, hash_scheme, scopes, project_ids, allowed_ips, rate_limit, concurrency_limit,
                  expires_at, revoked_at
  ON api_keys FOR EACH ROW EXECUTE FUNCTION rdev_key_changed();

CREATE TABLE key_network (
  key_id   uuid NOT NULL,
  network  text NOT NULL,
  first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (key_id, network)
);
COMMENT ON TABLE key_network IS 'Where each key was used from: one more is worth a word';

CREATE TABLE key_slot (
  command_id uuid PRIMARY KEY,
  key_id     uuid NOT NULL
);
COMMENT ON TABLE key_slot IS 'Commands that have not ended, of keys with a concurrency_limit only';
CREATE INDEX key_slot_key_ix ON key_slot (key_id);

-- A time as users see it (RFC 3339).
CREATE FUNCTION rdev_time(p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Whoever writes for a key shares its lock until the transaction ends; whoever takes a right of it away has it alone. So a revocation
-- waits for what has begun before it, and what begins beside it waits for the revocation. (Locks of rows are not fair: the submissions
-- of a busy key would starve its revocation.)
CREATE FUNCTION rdev_lock_of(p_key uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT hashtextextended(p_key::text, 7233960004)
$$;

-- Whether the key that writes is good, and of this revision (NULL = of any), at this moment. None = rdev itself, which is.
CREATE FUNCTION rdev_may_write(p_writer uuid, p_revision int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p_writer IS NULL THEN
    RETURN true;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(rdev_lock_of(p_writer));
  RETURN EXISTS (SELECT 1 FROM api_keys w WHERE w.id = p_writer AND w.revision = coalesce(p_revision, w.revision) AND w.revoked_at IS NULL
                    AND (w.expires_at IS NULL OR w.expires_at > clock_timestamp()));
END $$;

-- The same, of who takes a right of `p_key` away. Both locks in one order for all.
CREATE FUNCTION rdev_may_change(p_key uuid, p_writer uuid, p_revision int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF p_writer < p_key THEN
    PERFORM pg_advisory_xact_lock_shared(rdev_lock_of(p_writer));
  END IF;
  PERFORM pg_advisory_xact_lock(rdev_lock_of(p_key));
  RETURN rdev_may_write(p_writer, p_revision);
END $$;

-- Those of the keys that are good, as they are at this moment, and how many slots are taken of those that have a limit: nobody else
-- takes any until the transaction ends.
CREATE FUNCTION rdev_good_keys(p_keys uuid[])
RETURNS TABLE (id uuid, revision int, concurrency_limit int, taken bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_keys uuid[] := p_keys;
  v_key uuid;
BEGIN
  IF cardinality(p_keys) > 1 THEN
    v_keys := ARRAY(SELECT DISTINCT u.key FROM unnest(p_keys) AS u(key) ORDER BY u.key);
  END IF;
  FOREACH v_key IN ARRAY v_keys LOOP
    PERFORM pg_advisory_xact_lock_shared(rdev_lock_of(v_key));
  END LOOP;
  FOREACH v_key IN ARRAY v_keys LOOP
    SELECT k.id, k.revision, k.concurrency_limit INTO id, revision, concurrency_limit FROM api_keys k
     WHERE k.id = v_key AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());
    CONTINUE WHEN NOT FOUND;
    taken := NULL;
    IF concurrency_limit IS NOT NULL THEN -- which nobody changes while we share the key's lock
      PERFORM pg_advisory_xact_lock(hashtextextended(v_key::text, 7233960003));
      taken := (SELECT count(*) FROM key_slot s
                 WHERE s.key_id = v_key AND (EXISTS (SELECT 1 FROM queue_item q WHERE q.command_id = s.command_id)
                                             OR EXISTS (SELECT 1 FROM lease l WHERE l.command_id = s.command_id)));
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- Gives slots to all commands of a key that have not ended at this moment; only while its lock is held alone. One that ends meanwhile
-- may leave its slot behind, which does not count, and is removed by and by.
CREATE FUNCTION rdev_take_slots(p_key uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO key_slot (command_id, key_id)
  SELECT c.id, p_key FROM (SELECT q.command_id FROM queue_item q UNION SELECT l.command_id FROM lease l) AS o
    JOIN command c ON c.id = o.command_id AND c.key_id = p_key
  ON CONFLICT DO NOTHING;
END $$;

-- As it is at this moment, not in the picture that a statement began with.
CREATE FUNCTION rdev_epoch() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT e.epoch FROM auth_epoch e);
END $$;

-- Whether there is such a record at this moment, not only in the picture that a statement began with.
CREATE FUNCTION rdev_is_known(p_family uuid, p_scope_hash bytea) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT 1 FROM idempotency r
                  WHERE r.family = p_family AND r.scope_hash = p_scope_hash AND r.expires_at >= statement_timestamp());
END $$;

CREATE TABLE ban (
  id       uuid PRIMARY KEY,
  network  cidr NOT NULL UNIQUE,
  since    timestamptz NOT NULL DEFAULT clock_timestamp(),
  until    timestamptz NOT NULL,
  strikes  int NOT NULL,
  failures int NOT NULL
);
COMMENT ON TABLE ban IS 'Addresses that tried too many keys; those that have ended are kept a while for their strikes';
CREATE INDEX ban_until_ix ON ban (until);

CREATE TABLE ban_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO ban_version DEFAULT VALUES;
COMMENT ON TABLE ban_version IS 'Grows with every change of a ban, so that nodes need not read them all to see that nothing is new';

-- As before; a writer whose key was revoked or changed meanwhile cancels nothing, and what is cancelled frees its key's slot.
CREATE FUNCTION rdev_cancel(p_command uuid, p_reason text, p_key uuid, p_actor text, p_ip text, p_request text,
                            p_trace text, p_revision int)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_project text;
  v_verdict text;
  v_empty text := 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
BEGIN
  IF NOT rdev_may_write(p_key, p_revision) THEN
    RETURN 'key_changed';
  END IF;
  DELETE FROM queue_item WHERE command_id = p_command RETURNING project INTO v_project;
  IF FOUND THEN
    v_verdict := 'never_ran';
    DELETE FROM command_secret WHERE command_id = p_command;
    DELETE FROM key_slot WHERE command_id = p_command;
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

-- For nodes of the version before.
CREATE OR REPLACE FUNCTION rdev_cancel(p_command uuid, p_reason text, p_key uuid, p_actor text, p_ip text,
                                       p_request text, p_trace text)
RETURNS text LANGUAGE sql AS $$
  SELECT rdev_cancel(p_command, p_reason, p_key, p_actor, p_ip, p_request, p_trace, NULL)
$$;

-- Whoever has a key in memory hears at once that it no longer is what it was; uses of a key are no news.
CREATE FUNCTION rdev_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('rdev_keys', NEW.id::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER key_changed
  AFTER UPDATE OF name, key_hash, hash_scheme, scopes, project_ids, allowed_ips, rate_limit, expires_at, revoked_at
  ON api_keys FOR EACH ROW EXECUTE FUNCTION rdev_key_changed();

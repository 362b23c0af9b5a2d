-- Projects that fare badly, so that of several nodes that see it one writes the event, and the end of it is one, too.
CREATE TABLE unhealthy_project (
  project text PRIMARY KEY,
  since   timestamptz NOT NULL DEFAULT clock_timestamp(),
  reason  text NOT NULL
);
COMMENT ON TABLE unhealthy_project IS 'Projects of which project.unhealthy was the last that was said about their health';

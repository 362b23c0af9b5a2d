#include "adapters/http/docs_page.hpp"

namespace rdev::http {

const char* const docs_page_policy =
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

const char* const docs_page = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>rdev API</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
  h2 { border-bottom: 1px solid #ccc; }
  code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f4f4f4; border-radius: 4px; }
  code { padding: 0 .25em; }
  pre { padding: .75em; overflow: auto; }
  summary { cursor: pointer; }
  .method { display: inline-block; width: 4.5em; font-weight: 600; }
</style>
<h1>rdev API</h1>
<p id="about">The page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</p>
<main></main>
<script>
  const add = (parent, tag, text) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; parent.append(e); return e; };
  fetch('/openapi.json').then((answer) => answer.json()).then((api) => {
    document.getElementById('about').textContent = api.info.description;
    const main = document.querySelector('main');
    const sections = new Map(api.tags.map((tag) => { const s = add(main, 'section'); add(s, 'h2', tag.name); add(s, 'p', tag.description); return [tag.name, s]; }));
    for (const [path, item] of Object.entries(api.paths))
      for (const method of ['get', 'post', 'patch', 'delete']) {
        const operation = item[method];
        if (!operation) continue;
        const details = add(sections.get(operation.tags[0]), 'details');
        const summary = add(details, 'summary');
        add(summary, 'span', method.toUpperCase()).className = 'method';
        add(summary, 'code', path);
        summary.append(' ' + operation.summary);
        add(details, 'pre', JSON.stringify({ parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])], requestBody: operation.requestBody, responses: operation.responses }, null, 2));
      }
    const schemas = add(main, 'section');
    add(schemas, 'h2', 'schemas');
    for (const [name, schema] of Object.entries(api.components.schemas)) {
      const details = add(schemas, 'details');
      add(details, 'summary', name);
      add(details, 'pre', JSON.stringify(schema, null, 2));
    }
  });
</script>
</html>
)html";

} // namespace rdev::http

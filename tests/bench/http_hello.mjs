// Requests a second of the HTTP front: GET /health (no key, no actor but the front) and GET /projects/demo (the whole walk:
// ingress, auth, rate limit, pod control), beside nginx with one worker and an access log, if it is there. No bar.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { found, printSeries, waitFor, withServer, wrk } from './support/bench.mjs';

const repetitions = 5;
const seconds = 3;
const connections = 32;

const freePort = () =>
  new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const answers = (url) => fetch(url).then((response) => response.ok);

// nginx in a folder of its own; gives {url, end}.
async function startNginx(folder) {
  const port = await freePort();
  fs.mkdirSync(folder);
  fs.writeFileSync(
    path.join(folder, 'nginx.conf'),
    `daemon off; master_process on; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
     events { worker_connections 1024; }
     http {
       access_log ${folder}/access.log combined;
       client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
       uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
       keepalive_requests 1000000000;
       server { listen 127.0.0.1:${port}; default_type application/json; location / { return 200 '{"status":"ok"}'; } }
     }`,
  );
  const child = spawn('nginx', ['-p', folder, '-c', path.join(folder, 'nginx.conf')], { stdio: 'ignore' });
  process.on('exit', () => child.kill('SIGTERM'));
  const url = `http://127.0.0.1:${port}/`;
  await waitFor('nginx answers', () => answers(url));
  return { url, end: () => new Promise((resolve) => child.on('exit', resolve).kill('SIGTERM')) };
}

await withServer({}, async (server) => {
  const nginx = found('nginx') ? await startNginx(path.join(server.base, 'nginx')) : undefined;
  const targets = [
    { name: 'GET /health', url: `${server.url}/health` },
    { name: 'GET /projects/demo', url: `${server.url}/projects/demo`, headers: { 'X-API-Key': server.key } },
  ];
  if (nginx) targets.push({ name: 'nginx, return 200', url: nginx.url });
  else console.log('nginx is not installed: nothing to compare with');
  for (const target of targets) Object.assign(target, { rates: [], p99s: [] });
  for (let i = 0; i < repetitions; ++i) {
    for (const { name, url, headers, rates, p99s } of targets) {
      const one = await wrk(url, { connections, seconds, headers });
      rates.push(one.rate);
      p99s.push(one.p99);
      console.log(`${i + 1}: ${name}: ${one.rate.toFixed(0)} requests/s, p50 ${one.p50.toFixed(2)} ms, p99 ${one.p99.toFixed(2)} ms`);
    }
  }
  for (const { name, rates, p99s } of targets) {
    printSeries(name, rates, 'requests/s');
    printSeries(`${name}, p99`, p99s, 'ms', 2);
  }
  await nginx?.end();
});

// Requests a second of the HTTP front beside nginx and fastify, interleaved: GET /health, and GET /projects/demo with a key
// (ingress, auth, rate limit, exchange, pod control). Each of the three has one thread for connections and writes a line
// for every request into a file. Bars are medians of the rounds' ratios.
//   --rounds N (5), --seconds S (4) of each run of wrk
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { mint } from '../e2e/support.mjs';
import { atLeast, counter, median, must, printSeries, withServer, wrk } from './support/bench.mjs';
import { answers, end, forked, heard, options, startNginx } from './support/front.mjs';

const { rounds, seconds } = options({ rounds: 5, seconds: 4 });
const connections = [32, 1000];
const bars = {
  health: { nginx: [0.5, 0.75], fastify: [1.3] },
  project: { nginx: [0.25, 0.45], fastify: [1] },
};
const paths = { health: '/health', project: '/projects/demo' };

const accepted = (server) => counter(server, 'rdev_auth_requests_total{result="success"}');
const limited = (server) => counter(server, 'rdev_rate_limited_total{field="key"}');

// A key that may ask `quota` times a second asks far more often: the limiter must have been asked for each of them.
async function limiterIsAsked(server) {
  const quota = 50;
  const { secret } = await mint(server, { name: 'limited', scopes: ['projects:read'], rate_limit: quota });
  const [acceptedBefore, limitedBefore] = [await accepted(server), await limited(server)];
  const statuses = [];
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  await Promise.all(Array.from({ length: 8 * quota }, () => new Promise((resolve, reject) => {
    http.get(server.url + paths.project, { agent, headers: { 'X-API-Key': secret } }, (response) => {
      statuses.push(response.resume().statusCode);
      response.on('end', resolve);
    }).on('error', reject);
  })));
  agent.destroy();
  const refused = statuses.filter((status) => status === 429).length;
  must(statuses.every((status) => [200, 429].includes(status)) && statuses.length - refused >= quota, 'a limited key gets what it may, and 429');
  must((await accepted(server)) - acceptedBefore === statuses.length, 'auth was asked for each request');
  must((await limited(server)) - limitedBefore === refused && refused > 0, 'the limiter was asked for each request');
}

// How many requests of the last second the limiter has counted.
async function metered(server) {
  const { headers } = await server.api('GET', paths.project);
  const [, quota] = /q=(\d+)/.exec(headers['ratelimit-policy']);
  const [, remaining] = /r=(\d+)/.exec(headers.ratelimit);
  return Number(quota) - Number(remaining);
}

async function startFastify(folder, key, project) {
  const child = forked('fastify.mjs');
  const logFile = path.join(folder, 'fastify.log');
  child.send({ key, project, logFile });
  const { port } = await heard(child);
  const url = `http://127.0.0.1:${port}`;
  await answers(`${url}/health`);
  return { url, logFile, end: () => end(child) };
}

async function measure(server, nginx, fastify) {
  const ours = async (url, load) => {
    const before = await accepted(server);
    const one = await wrk(url, load);
    if (!url.endsWith(paths.project)) return one;
    const counted = await metered(server);
    const asked = (await accepted(server)) - before - 1; // metered() asked once
    // wrk leaves up to a request a connection unanswered at its end.
    must(asked >= one.requests && asked <= one.requests + load.connections, `wrk got ${one.requests} answers, auth was asked ${asked} times`);
    console.log(`   auth was asked ${asked} times for ${one.requests} answers; the limiter has counted ${counted} in the last second`);
    must(counted > 1, 'the limiter has counted nothing');
    return one;
  };
  const all = { rdev: [server.url, ours], nginx: [nginx.url, wrk], fastify: [fastify.url, wrk] };
  const rates = {};
  const answered = {};
  for (let round = 1; round <= rounds; ++round)
    for (const c of connections)
      for (const [route, target] of Object.entries(paths))
        for (const [name, [url, load]] of Object.entries(all)) {
          const one = await load(url + target, { connections: c, seconds, headers: { 'X-API-Key': server.key } });
          ((rates[`${route} c=${c}`] ??= {})[name] ??= []).push(one.rate);
          answered[name] = (answered[name] ?? 0) + one.requests;
          console.log(`${round}: ${name} ${target} c=${c}: ${one.rate.toFixed(0)} requests/s, p50 ${one.p50.toFixed(2)} ms, p99 ${one.p99.toFixed(2)} ms`);
        }
  for (const [name, file] of Object.entries({ rdev: server.logFile, nginx: `${nginx.folder}/access.log`, fastify: fastify.logFile }))
    must(fs.statSync(file).size > 80 * answered[name], `${name} has written a line for each request`);
  return rates;
}

await withServer({ RATE_LIMIT_RPS: '1000000', RDEV_HTTP_THREADS: '1' }, async (server) => {
  await limiterIsAsked(server);
  const answer = await server.api('GET', paths.project);
  const fastify = await startFastify(server.base, server.key, answer.data);
  const nginx = await startNginx(path.join(server.base, 'nginx'), { '/health': '{"status":"ok"}', '/projects/demo': answer.text });
  try {
    const rates = await measure(server, nginx, fastify);
    for (const [what, series] of Object.entries(rates))
      for (const [name, values] of Object.entries(series)) printSeries(`${name} ${what}`, values, 'requests/s');
    for (const [what, series] of Object.entries(rates))
      for (const [peer, [bar, aim]] of Object.entries(bars[what.split(' ')[0]])) {
        const ratio = median(series.rdev.map((rate, i) => rate / series[peer][i]));
        atLeast(`${what}, of ${peer}${aim ? ` (aim ${aim})` : ''}`, ratio, bar, 'x', 2);
      }
  } finally {
    await nginx.end();
    await fastify.end();
  }
});

// The peer of http_front.mjs: fastify with what an application of this kind has, a schema for each answer, a log to a file,
// a key hook and its rate limit. Arguments come as one message: {key, project, logFile}; answers {port}.
import { createHash, timingSafeEqual } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';

const sha256 = (text) => createHash('sha256').update(text).digest();

const schemaOf = (value) => {
  if (value === null) return { type: 'string', nullable: true };
  if (typeof value !== 'object') return { type: Number.isInteger(value) ? 'integer' : typeof value };
  const properties = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, schemaOf(part)]));
  return { type: 'object', properties, additionalProperties: true };
};
const answers = (value) => ({ response: { 200: schemaOf(value) } });

process.once('message', async ({ key, project, logFile }) => {
  const app = fastify({ logger: { level: 'info', file: logFile }, keepAliveTimeout: 60_000 });
  await app.register(rateLimit, { global: false });

  app.get('/health', { schema: answers({ status: 'ok' }) }, async () => ({ status: 'ok' }));

  const known = sha256(key);
  const wrap = (request) => ({ data: project, meta: { request_id: request.id, timestamp: new Date().toISOString() } });
  app.get('/projects/:id', {
    schema: answers({ data: project, meta: { request_id: '', timestamp: '' } }),
    config: { rateLimit: { max: 1_000_000, timeWindow: 1000, keyGenerator: (request) => request.headers['x-api-key'] } },
    onRequest: async (request, reply) => {
      const given = request.headers['x-api-key'];
      if (typeof given !== 'string' || !timingSafeEqual(sha256(given), known)) reply.code(401).send({ error: 'UNAUTHORIZED' });
    },
  }, async (request, reply) => {
    reply.header('x-request-id', request.id);
    if (request.params.id !== project.id) return reply.code(404).send({ error: 'NOT_FOUND' });
    return wrap(request);
  });

  await app.listen({ host: '127.0.0.1', port: 0 });
  process.send({ port: app.server.address().port });
});

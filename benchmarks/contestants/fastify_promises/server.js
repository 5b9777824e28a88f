// The accounts of Satchel on Fastify and node-postgres, with the same promises to clients and
// operators: keys, problems, strict bodies, ETags, conditions, idempotency, signed cursors, a line of
// log and a metric for each request. It runs on Satchel's own tables.
import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { build } from './app.js'

const workers = Number(process.env.WORKERS)
// Of all workers, which inherit it: a cursor of one is good for the others.
process.env.CURSOR_SECRET ??= randomBytes(32).toString('hex')
if (workers > 1 && cluster.isPrimary) {
  for (let index = 0; index < workers; index++) cluster.fork()
} else {
  const app = build()
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
  process.on('SIGTERM', () => app.close())
}

// The id of each request, its line of log and its time in the metrics.
import { randomBytes } from 'node:crypto'
import prom from 'prom-client'

const TRACE = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/

const durations = new prom.Histogram({
  name: 'http_request_duration_seconds',
  help: 'Time until the response was sent',
  labelNames: ['method', 'route', 'status'],
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
})
const problems = new prom.Counter({
  name: 'http_problems_total', help: 'Problems by code', labelNames: ['code']
})

export function requestId (raw) {
  const given = raw.headers['x-request-id']
  if (given !== undefined && /^[A-Za-z0-9._-]{1,128}$/.test(given)) return given
  return randomBytes(8).toString('hex')
}

export function addTelemetry (app) {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const { method, id, principal, problem } = request
    const route = request.routeOptions.url ?? 'unmatched'
    const status = reply.statusCode
    const milliseconds = reply.elapsedTime
    durations.observe({ method, route, status }, milliseconds / 1000)
    const line = {
      method, route, status, ms: Math.round(milliseconds * 100) / 100, principal, request_id: id
    }
    if (problem !== null) {
      problems.inc({ code: problem })
      line.problem = problem
    }
    const trace = request.headers.traceparent
    if (trace !== undefined) line.trace_id = TRACE.exec(trace)?.[1]
    request.log.info(line, 'request')
    done()
  })
  app.get('/metrics', async (_, reply) => {
    reply.type(prom.register.contentType)
    return prom.register.metrics()
  })
}

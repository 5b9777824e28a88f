// The application: what every request meets before and after its route.
import Fastify from 'fastify'
import { accounts } from './accounts.js'
import { parseJson } from './bodies.js'
import { openPool } from './database.js'
import { addGuard } from './guard.js'
import { sweepKeys } from './idempotency.js'
import { Problem, addProblems } from './problems.js'
import { addTelemetry, requestId } from './telemetry.js'

const MERGE_PATCH = 'application/merge-patch+json'
const METHODS = { '/': 'GET, HEAD', '/metrics': 'GET, HEAD', '/accounts': 'GET, HEAD, POST' }

export function build () {
  const app = Fastify({
    logger: { base: null },
    disableRequestLogging: true,
    childLoggerFactory: (logger) => logger, // the line of a request has its id anyway
    genReqId: requestId,
    requestIdHeader: false,
    bodyLimit: 1024 * 1024,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    http: { headersTimeout: 10_000 },
    ajv: {
      customOptions: { allErrors: true, coerceTypes: false, removeAdditional: false, verbose: true }
    }
  })
  const pool = openPool()
  app.decorate('pool', pool)
  app.addHook('onClose', () => pool.end())
  addTelemetry(app)
  addProblems(app)
  addGuard(app, pool)
  sweepKeys(app, pool)
  app.addContentTypeParser(['application/json', MERGE_PATCH], { parseAs: 'buffer' }, parseJson)
  app.removeContentTypeParser('text/plain')
  app.setNotFoundHandler((request) => {
    const path = request.url.split('?', 1)[0]
    const allowed = METHODS[path] ?? (/^\/accounts\/[^/]+$/.test(path) ? 'GET, HEAD, PATCH' : null)
    if (allowed === null) throw new Problem('not_found')
    throw new Problem('method_not_allowed', { headers: { allow: allowed } })
  })
  app.get('/', async () => ({ message: 'Hello World!' }))
  app.register(accounts)
  return app
}

# The image of every Treadle process. Docker Compose gives each its role; by itself it serves the API.
# Embedded Postgres is left out: give it a DATABASE_URL.

FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY bin bin
COPY migrations migrations
COPY src src

# Any port a process may answer health checks on; the API's is 4700 unless TREADLE_PORT says otherwise.
EXPOSE 4700
USER node
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.TREADLE_HEALTH_PORT || process.env.TREADLE_PORT || 4700}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/treadle.js"]
CMD ["start", "api"]

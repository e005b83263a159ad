-- wrk -s load.lua URL -- METHOD PATHS_FILE [TOKEN [BODY]]
-- Requests the paths of a file, one per line, in random order; `{n}` in BODY is replaced by a unique number.
-- Prints one line of JSON at the end; times are in microseconds.

local BROWSERS = 89
local method, body
local paths, headers = {}, {}
local requests = {}
local sent = 0

function init(args)
  method, body = args[1], args[4]
  for path in io.lines(args[2]) do
    paths[#paths + 1] = path
  end
  for browser = 1, BROWSERS do
    headers[browser] = {
      ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
        .. (60 + browser) .. ".0.0.0 Safari/537.36",
    }
    if args[3] and args[3] ~= "" then
      headers[browser]["Authorization"] = "Bearer " .. args[3]
    end
    if body then
      headers[browser]["Content-Type"] = "application/json"
    end
  end
  -- Requests without a number are formatted once, to keep the generator cheap.
  for i = 1, math.max(#paths, BROWSERS) do
    requests[i] = wrk.format(method, paths[i % #paths + 1], headers[i % BROWSERS + 1], body)
  end
  math.randomseed(os.time())
end

function request()
  if not body then
    return requests[math.random(#requests)]
  end
  sent = sent + 1
  local path = paths[math.random(#paths)]
  return wrk.format(method, path, headers[sent % BROWSERS + 1], (body:gsub("{n}", tostring(sent))))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end

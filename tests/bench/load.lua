-- A script for wrk. BENCH_BODY is "none", "json" or "multipart"; BENCH_SIZE is the size of the body in bytes.
local body = os.getenv("BENCH_BODY") or "none"
local size = tonumber(os.getenv("BENCH_SIZE") or "0")

wrk.headers["User-Agent"] = "wrk-bench"
wrk.headers["Accept"] = "application/json"
if body == "json" then
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  local text = string.rep("abcdefghijklmnop", math.floor((size - 11) / 16) + 1)
  wrk.body = '{"data":"' .. text:sub(1, size - 11) .. '"}'
elseif body == "multipart" then
  local boundary = "----benchboundary7MA4YWxkTrZu0gW"
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. boundary
  wrk.body = "--" .. boundary .. "\r\n"
    .. 'Content-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    .. "Content-Type: application/octet-stream\r\n\r\n"
    .. string.rep("0123456789abcdef", math.floor(size / 16))
    .. "\r\n--" .. boundary .. "--\r\n"
end

function done(summary, latency, requests)
  local errors = summary.errors
  local line = 'JSON {"requests":%d,"seconds":%f,"p50":%d,"p99":%d,"errors":%d}'
  io.write(string.format("\n" .. line .. "\n", summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

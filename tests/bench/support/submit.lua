-- wrk: each request is a submission of its own, with an Idempotency-Key, as `rdev run` sends it.
local mark = os.time()
local n = 0

request = function()
  n = n + 1
  wrk.headers["Idempotency-Key"] = "bench-" .. mark .. "-" .. n
  return wrk.format("POST", nil, nil, '{"command":"for i in 1 2 3; do echo \\"step $i\\"; make -C build test; done"}')
end

-- Fair scheduling between keys: TorchServe has one queue for all, and does not know the keys.
--
-- Each key may have as many requests under way as its share of the workers; its other requests wait
-- here. Active keys share the workers equally, with one worker each at least. A key that is alone may
-- fill batches, two requests for each worker; but if its images take long, or it is new, it leaves a
-- worker free for other keys. A request whose client has left counts until TorchServe has finished it.
-- A key whose images kill workers is barred for a while.

local _M = {}

local ACTIVE = 60    -- seconds after a request in which a key counts as active
local PAUSE = 0.004  -- seconds between two attempts to get a slot
local MAX_WAIT = 50  -- seconds that a request waits here; the handler's queue timeout counts from its arrival
local LOST = 70      -- seconds after which a slot is freed in any case: more than proxy_read_timeout
local LEFT = 10      -- seconds that a gRPC call keeps its slot after its client has left: nginx does not
                     -- see TorchServe's answer; the handler's step timeout is as long
local LONG = 2       -- seconds: a longer answer is slow
local KNOWN = 600    -- seconds that a key counts as slow or quick
local MAX_DEATHS = 3 -- workers that a key may kill within DEATHS_WINDOW seconds
local DEATHS_WINDOW = 600

local active = ngx.shared.active_keys    -- names of keys
local slots = ngx.shared.request_slots    -- KEY:NUMBER, for each request under way
local speeds = ngx.shared.key_speeds     -- key -> "long" or "short"
local deaths = ngx.shared.worker_deaths  -- KEY:NUMBER, for each worker that a key has killed

-- The number of requests that a key may have under way now.
local function share(key)
    local workers = ngx.worker.count()
    local keys = #active:get_keys(workers)
    if keys > 1 then
        return math.max(1, math.floor(workers / keys))
    end
    return speeds:get(key) == "short" and 2 * workers or math.max(1, workers - 1)
end

-- Claims the first free number of a key, for so many seconds; nil if none is free.
local function claim(numbers, key, count, seconds)
    for number = 1, count do
        local one = key .. ":" .. number
        if numbers:add(one, true, seconds) then
            return one
        end
    end
    return nil
end

-- 429 for a key that has killed MAX_DEATHS workers within the window.
function _M.refuse_barred_key()
    local least
    for number = 1, MAX_DEATHS do
        local left = deaths:ttl(ngx.var.api_key .. ":" .. number)
        if not left then
            return
        end
        least = math.min(least or left, left)
    end
    ngx.var.barred_seconds = math.ceil(least)
    return ngx.exit(ngx.HTTP_TOO_MANY_REQUESTS)
end

-- Waits until the request's key has a free slot; 503 after MAX_WAIT.
function _M.acquire()
    if (ngx.var.slot or "") ~= "" then  -- a candidate failed: see rollout.lua
        return
    end
    local key, arrived_at = ngx.var.api_key, ngx.now()
    ngx.var.arrived_at = arrived_at
    local slot
    repeat
        active:set(key, true, ACTIVE)
        slot = claim(slots, key, share(key), LOST)
        if not slot then
            if ngx.now() - arrived_at > MAX_WAIT then
                return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
            end
            ngx.sleep(PAUSE * (1 + math.random()))
        end
    until slot
    ngx.var.slot = slot
    ngx.var.started_at = ngx.now()
end

-- Whether a worker died of the request, by TorchServe's answer: 507, or 500 with these words, or the
-- same over gRPC.
local function killed_a_worker()
    local status = ngx.var.upstream_trailer_grpc_status or ngx.var.upstream_http_grpc_status
    local words = ngx.var.upstream_trailer_grpc_message or ngx.var.upstream_http_grpc_message
    return ngx.var.upstream_status == "507" or status == "8" or ngx.var.worker_died == "1"
        or (words or ""):find("^Worker died") ~= nil
end

-- Searches a chunk of a response's body for TorchServe's message about a dead worker.
function _M.detect_worker_death()
    if ngx.status == 500 and (ngx.arg[1] or ""):find("Worker died", 1, true) then
        ngx.var.worker_died = "1"
    end
end

-- Frees the request's slot at its end, and records its duration and whether it killed a worker.
function _M.release()
    local slot, key = ngx.var.slot, ngx.var.api_key
    if not slot or slot == "" then
        return
    end
    if ngx.status == 499 then
        slots:expire(slot, LEFT)
    else
        slots:delete(slot)
    end
    if ngx.now() - tonumber(ngx.var.started_at) > LONG then
        speeds:set(key, "long", KNOWN)
    elseif ngx.status < 500 and speeds:get(key) ~= "long" then
        speeds:set(key, "short", KNOWN)
    end
    if killed_a_worker() then
        claim(deaths, key, MAX_DEATHS, DEATHS_WINDOW)
    end
end

return _M

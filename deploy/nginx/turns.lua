-- Whose request TorchServe gets next: it has one queue for all, and no word of who asks.
--
-- A key has as many requests under way as its share of the workers; its others wait here. With others
-- about, the workers are divided among them, and each key has one at least. A key that is alone may
-- fill batches, two requests for each worker, but for one whose photographs take long, or of which
-- nothing is known yet: it leaves a worker to whoever comes. What a client has left behind counts
-- until TorchServe is done with it. A key whose photographs end workers has to wait.

local _M = {}

local AROUND = 60    -- seconds that a key counts as one of those who ask
local PAUSE = 0.004  -- seconds between two looks for a free place
local LONGEST = 50   -- seconds that a request waits here; handler.queue_timeout counts from its arrival
local LOST = 70      -- seconds after which a place is free whatever happened: over proxy_read_timeout
local LEFT = 10      -- seconds that a call which its client gave up keeps its place: nginx does not hear
                     -- of TorchServe's answer; handler.step_timeout is as long
local LONG = 2       -- seconds from which on an answer took long
local KNOWN = 600    -- seconds that a key is known for long answers, or for none
local ENDS = 3       -- workers that a key may end within ENDED seconds
local ENDED = 600

local asking = ngx.shared.keys_asking    -- names of keys
local places = ngx.shared.places_taken   -- KEY:NUMBER, for each request under way
local takes = ngx.shared.keys_takes      -- of a key: "long" or "short"
local ends = ngx.shared.workers_ended    -- KEY:NUMBER, for each worker that a key has ended

-- How many requests of a key may be under way now.
local function share(key)
    local workers = ngx.worker.count()
    local keys = #asking:get_keys(workers)
    if keys > 1 then
        return math.max(1, math.floor(workers / keys))
    end
    return takes:get(key) == "short" and 2 * workers or math.max(1, workers - 1)
end

-- Takes the first free of a key's numbers, for so many seconds; nil where none of them is free.
local function taken(numbers, key, count, seconds)
    for number = 1, count do
        local one = key .. ":" .. number
        if numbers:add(one, true, seconds) then
            return one
        end
    end
    return nil
end

-- 429 for a key that has ended as many workers as it may, until the first of them is long ago.
function _M.refuse_who_ends_workers()
    local least
    for number = 1, ENDS do
        local left = ends:ttl(ngx.var.api_key .. ":" .. number)
        if not left then
            return
        end
        least = math.min(least or left, left)
    end
    ngx.var.barred = math.ceil(least)
    return ngx.exit(ngx.HTTP_TOO_MANY_REQUESTS)
end

-- Waits until the request's key has a free place; 503 after LONGEST.
function _M.wait()
    local key, came = ngx.var.api_key, ngx.now()
    ngx.var.came = came
    local place
    repeat
        asking:set(key, true, AROUND)
        place = taken(places, key, share(key), LOST)
        if not place then
            if ngx.now() - came > LONGEST then
                return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
            end
            ngx.sleep(PAUSE * (1 + math.random()))
        end
    until place
    ngx.var.place = place
    ngx.var.began = ngx.now()
end

-- Whether a worker ended over the request, as TorchServe tells it: 507, 500 with these words, or the
-- same over gRPC.
local function has_ended_a_worker()
    local status = ngx.var.upstream_trailer_grpc_status or ngx.var.upstream_http_grpc_status
    local words = ngx.var.upstream_trailer_grpc_message or ngx.var.upstream_http_grpc_message
    return ngx.var.upstream_status == "507" or status == "8" or ngx.var.worker_died == "1"
        or (words or ""):find("^Worker died") ~= nil
end

-- Looks for these words in an answer.
function _M.read_failure()
    if ngx.status == 500 and (ngx.arg[1] or ""):find("Worker died", 1, true) then
        ngx.var.worker_died = "1"
    end
end

-- Gives the request's place to the next, once it is over, and keeps in mind what it cost.
function _M.leave()
    local place, key = ngx.var.place, ngx.var.api_key
    if not place or place == "" then
        return
    end
    if ngx.status == 499 then
        places:expire(place, LEFT)
    else
        places:delete(place)
    end
    if ngx.now() - tonumber(ngx.var.began) > LONG then
        takes:set(key, "long", KNOWN)
    elseif ngx.status < 500 and takes:get(key) ~= "long" then
        takes:set(key, "short", KNOWN)
    end
    if has_ended_a_worker() then
        taken(ends, key, ENDS, ENDED)
    end
end

return _M

-- Whose request TorchServe gets next: it has one queue for all, and no word of who asks.
--
-- A key has as many requests under way as its share of the workers; its others wait here. A key that
-- is alone may fill batches: two requests for each worker. With others about, the workers are divided
-- among them, and each key has one at least. What a client has left behind counts until TorchServe is
-- done with it.

local _M = {}

local AROUND = 60    -- seconds that a key counts as one of those who ask
local PAUSE = 0.004  -- seconds between two looks for a free place
local LONGEST = 50   -- seconds that a request waits here; handler.longest_wait counts from its arrival
local LOST = 70      -- seconds after which a place is free whatever happened: over proxy_read_timeout
local LEFT = 10      -- seconds that a call which its client gave up keeps its place: nginx does not hear
                     -- of TorchServe's answer; handler.longest_step is as long

local asking = ngx.shared.keys_asking    -- names of keys
local places = ngx.shared.places_taken   -- KEY:NUMBER, for each request under way

-- How many requests of a key may be under way now.
local function share()
    local workers = ngx.worker.count()
    local keys = #asking:get_keys(workers)
    if keys <= 1 then
        return 2 * workers
    end
    return math.max(1, math.floor(workers / keys))
end

-- Takes a free place of a key; nil where there is none.
local function taken(key)
    for number = 1, share() do
        local place = key .. ":" .. number
        if places:add(place, true, LOST) then
            return place
        end
    end
    return nil
end

-- Waits until the request's key has a free place; 503 after LONGEST.
function _M.wait()
    local key, came = ngx.var.api_key, ngx.now()
    ngx.var.came = came
    local place
    repeat
        asking:set(key, true, AROUND)
        place = taken(key)
        if not place then
            if ngx.now() - came > LONGEST then
                return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
            end
            ngx.sleep(PAUSE * (1 + math.random()))
        end
    until place
    ngx.var.place = place
end

-- Gives the request's place to the next, once it is over.
function _M.leave()
    local place = ngx.var.place
    if not place or place == "" then
        return
    end
    if ngx.status == 499 then
        places:expire(place, LEFT)
    else
        places:delete(place)
    end
end

return _M

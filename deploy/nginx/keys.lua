-- Who asks: the name of the key that a request carries.
--
-- The file of keys is read when it has changed, and asked for each request whether it has: a revoked
-- key ends with its next request, and a stranger costs no reading.

local ffi = require "ffi"
local logs = require "logs"

-- statx(2) has one layout on every machine; stat(2) has not.
ffi.cdef [[
struct face_age_time { int64_t seconds; uint32_t nanoseconds; int32_t reserved; };
struct face_age_statx {
    uint32_t mask, block_size; uint64_t attributes;
    uint32_t links, user, group; uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    struct face_age_time read, made, changed, written;
    uint32_t device_major, device_minor, major, minor;
    uint64_t more[14];
};
int statx(int folder, const char *path, int flags, unsigned int mask, struct face_age_statx *out);
unsigned char *SHA256(const unsigned char *text, size_t length, unsigned char *out);
]]

local _M = {}

local CURRENT_FOLDER = -100  -- AT_FDCWD
local CHANGED_INODE_SIZE = 0x80 + 0x100 + 0x200  -- STATX_CTIME, _INO, _SIZE
local SETTLED = 1  -- seconds; the kernel's clock cannot tell two changes within less than 0.01 s apart

local stat = ffi.new("struct face_age_statx")
local digest = ffi.new("unsigned char[32]")
local names, state = {}, nil  -- SHA-256 -> name; the file's state that they are of

-- What changes whenever a file does, and when it last has; nil and the reason where there is none.
-- The time of the change (ctime) cannot be set, and a new file under the old name has a new one too.
local function state_of(path)
    if ffi.C.statx(CURRENT_FOLDER, path, 0, CHANGED_INODE_SIZE, stat) ~= 0 then
        return nil, 0, "it is not there, or may not be looked for"
    end
    local changed = stat.changed
    local now = table.concat({
        path, tonumber(stat.major), tonumber(stat.minor), tostring(stat.inode), tostring(stat.size),
        tostring(changed.seconds), tonumber(changed.nanoseconds),
    }, " ")
    return now, tonumber(changed.seconds)
end

-- The names by their keys' SHA-256; nil and the reason where the file cannot be read.
local function read(path)
    local file, fault = io.open(path, "r")
    local text
    if file then
        text, fault = file:read("*a")
        file:close()
    end
    if not text then
        return nil, fault
    end
    local found = {}
    for line in text:gmatch("[^\n]+") do
        local hash, name = line:match("^(%x+) ([%w._-]+)")
        if hash and #hash == 64 then
            found[hash] = found[hash] or name
        end
    end
    return found
end

local function refresh(path)
    local now, changed, fault = state_of(path)
    if now and now == state then
        return
    end
    names, state = nil, nil
    if now then
        names, fault = read(path)
    end
    if not names then
        names = {}
        logs.tell("the keys cannot be read: " .. fault)
    elseif ngx.time() - changed > SETTLED then
        state = now
    end
end

-- The name of the request's key; empty where it carries no valid one.
function _M.name()
    local key = (ngx.var.http_authorization or ""):match("^Bearer ([%w_-]+)$")
    if not key or #key ~= 43 then
        return ""
    end
    refresh(ngx.var.api_keys)
    ffi.C.SHA256(key, #key, digest)
    local hash = ffi.string(digest, 32):gsub(".", function(byte)
        return string.format("%02x", byte:byte())
    end)
    return names[hash] or ""
end

return _M

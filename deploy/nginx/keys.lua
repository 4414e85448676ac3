-- Authentication: the name of the key that a request carries.
--
-- Each request stats the key file; the file is read only if it has changed. So a revocation applies to
-- the next request, and requests without a valid key cause no reading.

local ffi = require "ffi"
local logs = require "logs"

-- statx(2) has the same layout on every architecture; stat(2) has not.
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
local SETTLED = 1  -- seconds; file timestamps do not separate two changes within less than 0.01 s

local stat = ffi.new("struct face_age_statx")
local digest = ffi.new("unsigned char[32]")
local names, state = {}, nil  -- SHA-256 -> name; the state of the file that they were read from

-- A string that changes whenever the file does, and the time of its last change; else nil, nil and the
-- reason. Users cannot set ctime, and a new file under the old name has a new ctime too.
local function state_of(path)
    if ffi.C.statx(CURRENT_FOLDER, path, 0, CHANGED_INODE_SIZE, stat) ~= 0 then
        return nil, 0, "it is missing, or its folder may not be searched"
    end
    local changed = stat.changed
    local now = table.concat({
        path, tonumber(stat.major), tonumber(stat.minor), tostring(stat.inode), tostring(stat.size),
        tostring(changed.seconds), tonumber(changed.nanoseconds),
    }, " ")
    return now, tonumber(changed.seconds)
end

-- Names by their keys' SHA-256; nil and the reason if the file cannot be read.
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
        logs.log_error("the keys cannot be read: " .. fault)
    elseif ngx.time() - changed > SETTLED then
        state = now
    end
end

-- The name of the request's key; empty without a valid key.
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

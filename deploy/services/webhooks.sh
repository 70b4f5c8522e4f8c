# shellcheck shell=bash
# The Standard Webhooks library of JavaScript, so that signatures are checked by code that is not ours. It comes from npm
# packages, once, and is kept in target/ as it came; each run unpacks it into its scratch folder.

# Package, version, and SHA-256.
webhook_packages='
standardwebhooks 1.0.0 935d8e1b8b303dd39f4c88df6f00579bec32a597bd0f193a9db7545e9610dbbd
@stablelib/base64 1.0.1 0130711d2e0d3f87436c7825db1f35bd6134fba2eda64b0df43d781f9b6a596a
fast-sha256 1.3.0 4f897ea2594dc9cfb1250e7d4d0f65b4f105952a802fff2d06990bf1dc2c84f6
'
webhook_cache=${TENANT_SYNC_TEST_NPM_CACHE:-${root:?}/target/npm}

# provide_webhooks: puts the library under one folder that node finds packages in; without it, says plainly what is not
# tested.
provide_webhooks() {
    local package version checksum archive folder=${scratch:?}/webhooks
    mkdir -p "$folder" "$webhook_cache"
    if ! command -v node >/dev/null; then
        say "NOT TESTED with the Standard Webhooks library of JavaScript: node is not installed"
        return
    fi
    while read -r package version checksum; do
        [[ -n $package ]] || continue
        archive=$webhook_cache/${package//\//-}-$version.tgz
        if ! fetch_package "$package@$version" "$checksum" "$archive"; then
            say "NOT TESTED with the Standard Webhooks library of JavaScript: npm could not bring $package@$version as it is known"
            return
        fi
        mkdir -p "$folder/$package"
        tar -xzf "$archive" -C "$folder/$package" --strip-components=1
    done <<<"$webhook_packages"
    export TENANT_SYNC_TEST_WEBHOOKS=$folder
}

# fetch_package NAME@VERSION CHECKSUM ARCHIVE: false when it is neither kept nor to be had.
fetch_package() {
    local draft=$3.$$ packed
    ! is_version "$2" "$3" || return 0
    command -v npm >/dev/null || return 1
    rm -rf "$draft"
    mkdir "$draft"
    if timeout 120 npm pack "$1" --pack-destination "$draft" --silent --fetch-retries=2 >"$draft/log" 2>&1; then
        packed=$(find "$draft" -name '*.tgz' -print -quit)
        [[ -z $packed ]] || ! is_version "$2" "$packed" || mv -f "$packed" "$3"
    fi
    rm -rf "$draft"
    is_version "$2" "$3"
}

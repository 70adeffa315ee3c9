#!/usr/bin/env bash
# Run once by the image of Postgres, when its volume is empty: a role and a database for each server.
set -euo pipefail
for name in mlflow airflow; do
  password="${name^^}_DATABASE_PASSWORD"
  psql --set ON_ERROR_STOP=1 --username postgres --set name="$name" --set password="${!password}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done

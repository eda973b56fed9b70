// Written by scripts/types.mjs from the description of the API; `make types` writes it anew.

export interface paths {
    "/api/v1/admin/alert-deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["alert_deliveries_list"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alert-deliveries/{id}/resend": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["alert_deliveries_resend"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alert-destinations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["alert_destinations_list"];
        put?: never;
        post: operations["alert_destinations_add"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alert-destinations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["alert_destinations_show"];
        put: operations["alert_destinations_change"];
        post?: never;
        delete: operations["alert_destinations_remove"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alert-destinations/{id}/test": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["alert_destinations_test"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alerts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["alerts_list"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alerts/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["alerts_show"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/alerts/{id}/ack": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["alerts_acknowledge"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["api_keys_list"];
        put?: never;
        post: operations["api_keys_create"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["api_keys_show"];
        put: operations["api_keys_change"];
        post?: never;
        delete: operations["api_keys_delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys/{id}/accept": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["api_keys_accept"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys/{id}/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["api_keys_trail"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys/{id}/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["api_keys_rotate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/api-keys/{id}/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["api_keys_issue_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["audit_list"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/audit/archives": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["audit_archives"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/audit/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["audit_verify"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/backfill": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["backfill_history"];
        put?: never;
        post: operations["backfill_ask"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/backfill/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["backfill_show"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/backfill/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["backfill_cancel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/backups": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["backups_list"];
        put?: never;
        post: operations["backups_create"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/integrity": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["integrity_integrity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/integrity/accept": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["integrity_accept"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["keks_status"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["keks_cancel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks/jobs/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["keks_job"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks/rekey": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["keks_rekey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks/rewrap": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["keks_rewrap"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/keks/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["keks_rotate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/operators": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["operators_list"];
        put?: never;
        post: operations["operators_invite"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/operators/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["operators_show"];
        put: operations["operators_change"];
        post?: never;
        delete: operations["operators_remove"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/operators/{id}/reset": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["operators_reset"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/policy/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["policy_explain"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/providers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["providers_list"];
        put?: never;
        post: operations["providers_add"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/providers/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["providers_show"];
        put: operations["providers_set"];
        post?: never;
        delete: operations["providers_remove"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/seal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["seal_seal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["secrets_list"];
        put?: never;
        post: operations["secrets_add"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["secrets_show"];
        put: operations["secrets_change"];
        post?: never;
        delete: operations["secrets_destroy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/checks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["secrets_checks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/pool": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put: operations["secrets_place"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/reseal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_reseal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/rotation/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_pause"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/rotation/promote": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_promote"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/rotation/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_resume"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/rotation/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_rollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/validate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_validate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/secrets/{id}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["secrets_version"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["sessions_list"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete: operations["sessions_end"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/symbols": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["symbols_list"];
        put?: never;
        post: operations["symbols_add"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/symbols/{symbol}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["symbols_show"];
        put: operations["symbols_change"];
        post?: never;
        delete: operations["symbols_remove"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/symbols/{symbol}/candles": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["symbols_candles"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/unseal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["unseal_unseal"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/admin/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["usage_usage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["session_show"];
        put?: never;
        post: operations["session_sign_in"];
        delete: operations["session_sign_out"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/invitation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["session_open"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/invitation/accept": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["session_accept"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put: operations["session_change_password"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/recovery-codes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["session_renew_recovery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/session/step-up": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post: operations["session_step_up"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["readyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Accepted: components["schemas"]["Session"] & {
            recovery_codes: string[];
        };
        Accepting: {
            invitation: string;
            password: string;
            code: string;
        };
        Actor: {
            type: components["schemas"]["ActorType"];
            id?: string | null;
            name: string;
        };
        /** @enum {string} */
        ActorType: "key" | "token" | "operator" | "guest" | "local" | "house";
        Alert: {
            id: string;
            kind: components["schemas"]["AlertKind"];
            severity: components["schemas"]["Severity"];
            state: components["schemas"]["AlertState"];
            subject: components["schemas"]["AlertSubject"];
            detail: string;
            /** Format: date-time */
            first_seen: string;
            /** Format: date-time */
            last_seen: string;
            /** Format: int64 */
            count: number;
            /** Format: date-time */
            acknowledged_at?: string | null;
            acknowledged_by?: string | null;
            /** Format: date-time */
            resolved_at?: string | null;
        };
        AlertDeliveries: {
            items: components["schemas"]["AlertDelivery"][];
            next_cursor?: string | null;
        };
        AlertDelivery: {
            id: string;
            destination: string;
            alert?: string | null;
            event: components["schemas"]["AlertEvent"];
            state: components["schemas"]["DeliveryState"];
            /** Format: int64 */
            attempts: number;
            fault?: string | null;
            /** Format: date-time */
            next_at?: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            ended_at?: string | null;
        };
        AlertDestination: {
            id: string;
            name: string;
            kind?: components["schemas"]["DestinationKind"] | null;
            address?: string | null;
            to?: string[] | null;
            kinds?: components["schemas"]["AlertKind"][] | null;
            min_severity?: components["schemas"]["Severity"] | null;
            resolved?: boolean | null;
            active?: boolean | null;
            fault?: string | null;
            /** Format: date-time */
            created_at: string;
            created_by: string;
            /** Format: date-time */
            updated_at: string;
        };
        AlertDestinationChange: {
            name?: string | null;
            url?: string | null;
            to?: string[] | null;
            kinds?: components["schemas"]["AlertKind"][] | null;
            min_severity?: components["schemas"]["Severity"] | null;
            resolved?: boolean | null;
            active?: boolean | null;
        };
        AlertDestinationMade: components["schemas"]["AlertDestination"] & {
            secret?: string | null;
        };
        AlertDestinations: {
            items: components["schemas"]["AlertDestination"][];
            next_cursor?: string | null;
        };
        /** @enum {string} */
        AlertEvent: "raised" | "resolved" | "test" | "report";
        /** @enum {string} */
        AlertKind: "secret_refused" | "rotation_rolled_back" | "rotation_failed" | "secret_expiring" | "client_expiring" | "quota_near" | "unusual_volume" | "new_address" | "auth_failures" | "ledger_degraded" | "limiter_degraded" | "backup_overdue" | "backfill_failed" | "key_echoed" | "integrity" | "sealed" | "kek_wear" | "key_job_failed";
        /** @enum {string} */
        AlertState: "open" | "acknowledged" | "resolved";
        AlertSubject: {
            type: string;
            id: string;
            name: string;
        };
        Alerts: {
            items: components["schemas"]["Alert"][];
            next_cursor?: string | null;
        };
        Archive: {
            node: string;
            /** Format: int64 */
            first: number;
            /** Format: int64 */
            last: number;
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            file: string;
            /** Format: int64 */
            bytes: number;
            sha256: string;
            /** Format: date-time */
            created_at: string;
        };
        Archives: {
            items: components["schemas"]["Archive"][];
            next_cursor?: string | null;
        };
        /** @enum {string} */
        AssetClass: "stock" | "crypto" | "etf";
        Backfill: {
            id: string;
            state: components["schemas"]["BackfillStatus"];
            error?: string | null;
            cancelled_by?: string | null;
            cause: components["schemas"]["BackfillCause"];
            asked_by: string;
            symbols?: string[] | null;
            /** Format: date-time */
            from?: string | null;
            /** Format: date-time */
            to: string;
            interval?: components["schemas"]["Interval"] | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            started_at?: string | null;
            /** Format: date-time */
            finished_at?: string | null;
            /** Format: int64 */
            symbol_count: number;
            /** Format: int64 */
            completed: number;
            /** Format: int64 */
            failed: number;
            /** Format: int64 */
            candles: number;
            /** Format: int64 */
            rejected: number;
            /** Format: int64 */
            pages: number;
        };
        BackfillBody: {
            symbols?: string[] | null;
            /** Format: date-time */
            from?: string | null;
            /** Format: date-time */
            to?: string | null;
            interval?: components["schemas"]["Interval"] | null;
        };
        /** @enum {string} */
        BackfillCause: "asked" | "schedule";
        BackfillPart: {
            symbol: string;
            provider: string;
            interval?: components["schemas"]["Interval"] | null;
            state: components["schemas"]["BackfillStatus"];
            error?: string | null;
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            /** Format: date-time */
            checkpoint: string;
            /** Format: int64 */
            pages: number;
            /** Format: int64 */
            candles: number;
            /** Format: int64 */
            rejected: number;
            reasons: Record<string, never>;
            /** Format: double */
            coverage?: number | null;
            gaps: components["schemas"]["Gap"][];
            /** Format: date-time */
            started_at?: string | null;
            /** Format: date-time */
            finished_at?: string | null;
        };
        BackfillShown: components["schemas"]["Backfill"] & {
            parts: components["schemas"]["BackfillPart"][];
        };
        /** @enum {string} */
        BackfillStatus: "pending" | "in_progress" | "completed" | "failed";
        Backfills: {
            items: components["schemas"]["Backfill"][];
            next_cursor?: string | null;
            /** Format: date-time */
            next_due?: string | null;
        };
        Backup: {
            name: string;
            /** Format: int64 */
            bytes: number;
            /** Format: date-time */
            created_at: string;
            faults?: string[] | null;
        };
        BackupProgress: {
            id: string;
            /** Format: int64 */
            rows: number;
            /** Format: int64 */
            total: number;
        };
        Backups: {
            items: components["schemas"]["Backup"][];
            next_cursor?: string | null;
            making: components["schemas"]["BackupProgress"][];
        };
        Bound: {
            /** Format: int64 */
            limit: number;
            /** Format: int64 */
            used: number;
            /** Format: int64 */
            remaining: number;
            /** Format: date-time */
            reset_at: string;
        };
        CallsOfVersion: {
            /** Format: int64 */
            calls: number;
            /** Format: int64 */
            refused: number;
            /** Format: int64 */
            failed: number;
        };
        Cancelled: {
            cancelled: boolean;
        };
        Candle: {
            /** Format: date-time */
            time: string;
            open: string;
            high: string;
            low: string;
            close: string;
            volume: string;
            vwap?: string | null;
            /** Format: int64 */
            trades?: number | null;
        };
        Candles: {
            items: components["schemas"]["Candle"][];
            next_cursor?: string | null;
        };
        Check: {
            id: string;
            /** Format: int32 */
            version: number;
            /** Format: date-time */
            checked_at: string;
            cause: string;
            actor: string;
            outcome: components["schemas"]["Outcome"];
            health: components["schemas"]["Health"];
            steps: components["schemas"]["Step"][];
        };
        Checks: {
            items: components["schemas"]["Check"][];
            next_cursor?: string | null;
        };
        /** ClientKey */
        ClientKey: {
            id: string;
            key_preview?: string | null;
            name: string;
            role: components["schemas"]["Role"];
            tier: components["schemas"]["Tier"];
            scopes?: string[] | null;
            allowed_ips?: string[] | null;
            allowed_origins?: string[] | null;
            /** Format: date-time */
            expires_at?: string | null;
            description?: string | null;
            owner?: string | null;
            /** Format: int64 */
            limit?: number | null;
            /** Format: int64 */
            monthly_quota?: number | null;
            /** Format: int64 */
            max_concurrent?: number | null;
            secrets: {
                [key: string]: string;
            };
            active: boolean;
            state: components["schemas"]["KeyState"];
            usable: boolean;
            fault?: string | null;
            previous?: components["schemas"]["Previous"] | null;
            /** Format: date-time */
            created_at: string;
            created_by: string;
            /** Format: date-time */
            updated_at: string;
            /** Format: date-time */
            last_used_at?: string | null;
            last_used_endpoint?: string | null;
            last_used_address?: string | null;
            /** Format: int64 */
            request_count: number;
        };
        ClientKeyChange: {
            name?: string | null;
            role?: components["schemas"]["Role"] | null;
            tier?: components["schemas"]["Tier"] | null;
            scopes?: string[] | null;
            /** Format: date-time */
            expires_at?: string | null;
            description?: string | null;
            owner?: string | null;
            /** Format: int64 */
            limit?: number | null;
            secrets?: {
                [key: string]: string;
            } | null;
            active?: boolean | null;
            allowed_ips?: string[] | null;
            allowed_origins?: string[] | null;
            /** Format: int64 */
            monthly_quota?: number | null;
            /** Format: int64 */
            max_concurrent?: number | null;
        };
        ClientKeyShown: components["schemas"]["ClientKey"] & {
            key: string;
        };
        ClientKeys: {
            items: components["schemas"]["ClientKey"][];
            next_cursor?: string | null;
        };
        Covered: {
            node: string;
            /** Format: int64 */
            records: number;
            /** Format: int64 */
            archived: number;
            /** Format: int64 */
            signed_through: number;
            /** Format: int64 */
            pushed_through: number;
            /** Format: int64 */
            not_yet_covered: number;
            public_key?: string | null;
        };
        /** @enum {string} */
        DeliveryState: "waiting" | "delivered" | "dead";
        /** @enum {string} */
        DestinationKind: "webhook" | "email" | "syslog";
        DryRun: {
            kind: string;
            ok: boolean;
            would: string[];
            checks: components["schemas"]["DryRunCheck"][];
        };
        DryRunCheck: {
            name: string;
            ok: boolean;
            detail: string;
        };
        Error: {
            error: string;
            /** @enum {string} */
            code: "bad_request" | "unauthorized" | "forbidden" | "step_up_required" | "unknown_provider" | "not_found" | "method_not_allowed" | "timeout" | "conflict" | "too_large" | "uri_too_long" | "unsupported_media_type" | "invalid" | "rate_limited" | "headers_too_large" | "internal" | "upstream_unreachable" | "upstream_invalid" | "sealed" | "no_secret" | "overloaded" | "audit_unavailable" | "upstream_timeout";
            detail: string;
            request_id: string;
            quota?: number;
            /** Format: date-time */
            reset_at?: string | null;
            /** @enum {string} */
            limit?: "client" | "address" | "origin" | "concurrency" | "monthly" | "provider";
            fields?: {
                field: string;
                fault: string;
            }[];
        };
        Errors: {
            /** Format: int64 */
            client: number;
            /** Format: int64 */
            provider: number;
            /** Format: int64 */
            us: number;
        };
        Explained: {
            decision: string;
            rule: string;
            reason: string;
        };
        /** @enum {string} */
        Fault: "client" | "provider" | "us";
        FirstBad: {
            node: string;
            /** Format: int64 */
            sequence: number;
            id?: string | null;
            reason: string;
        };
        FreshCode: {
            code: string;
        };
        Gap: {
            /** Format: date */
            from: string;
            /** Format: date */
            to: string;
            /** Format: int64 */
            days: number;
            /** Format: int64 */
            hours?: number | null;
            /** Format: date-time */
            begins?: string | null;
            /** Format: date-time */
            ends?: string | null;
        };
        Generation: {
            id: string;
            category: string;
            /** Format: int32 */
            generation: number;
            state: components["schemas"]["GenerationState"];
            /** Format: int64 */
            wraps: number;
            /** Format: int64 */
            secrets: number;
            master_kind: string;
            /** Format: int64 */
            age_days: number;
            /** Format: date-time */
            created_at: string;
        };
        /** @enum {string} */
        GenerationState: "active" | "retired" | "destroyed";
        Generations: {
            items: components["schemas"]["Generation"][];
            next_cursor?: string | null;
            job?: components["schemas"]["Job"] | null;
            faults: string[];
            job_fault?: string | null;
        };
        /** @enum {string} */
        Health: "healthy" | "degraded" | "refused" | "unknown";
        Integrity: {
            ok: boolean;
            findings: string[];
        };
        /** @enum {string} */
        Interval: "1m" | "5m" | "15m" | "1h" | "1d";
        Invitation: {
            invitation: string;
        };
        Job: {
            id: string;
            kind: components["schemas"]["JobKind"];
            state: components["schemas"]["JobState"];
            /** Format: int64 */
            total: number;
            /** Format: int64 */
            done: number;
            node?: string | null;
            outcome?: string | null;
            created_by: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            finished_at?: string | null;
        };
        /** @enum {string} */
        JobKind: "rewrap" | "rekey" | "master_key";
        /** @enum {string} */
        JobState: "running" | "done" | "failed";
        KeyFormat: {
            prefixes: string[];
            min_length: number;
            max_length: number;
        };
        /** @enum {string} */
        KeyState: "active" | "revoked" | "expired";
        Limits: {
            proxy?: components["schemas"]["Proxy"] | null;
            admin: components["schemas"]["Bound"];
        };
        NewAlertDestination: {
            name: string;
            kind: components["schemas"]["DestinationKind"];
            url?: string | null;
            to?: string[] | null;
            kinds?: components["schemas"]["AlertKind"][] | null;
            min_severity?: components["schemas"]["Severity"] | null;
            resolved?: boolean | null;
            active?: boolean | null;
        };
        NewBackup: {
            recipients?: string[] | null;
            passphrase?: string | null;
            /** @default false */
            stream?: boolean | null;
        };
        NewClientKey: {
            name: string;
            /** @default user */
            role?: components["schemas"]["Role"] | null;
            /** @default standard */
            tier?: components["schemas"]["Tier"] | null;
            scopes?: string[] | null;
            /** Format: date-time */
            expires_at?: string | null;
            description?: string | null;
            owner?: string | null;
            /** Format: int64 */
            limit?: number | null;
            secrets?: {
                [key: string]: string;
            } | null;
            allowed_ips?: string[] | null;
            allowed_origins?: string[] | null;
            /** Format: int64 */
            monthly_quota?: number | null;
            /** Format: int64 */
            max_concurrent?: number | null;
        };
        NewOperator: {
            name: string;
            email?: string | null;
            role: components["schemas"]["RoleOfOperator"];
        };
        NewPassword: {
            old: string;
            new: string;
            code: string;
        };
        NewProvider: {
            id: string;
            base_url?: string | null;
            category?: string | null;
            inject?: Record<string, never>[] | null;
            fields?: string[] | null;
            websocket_url?: string | null;
            hosts?: {
                [key: string]: string;
            } | null;
            paths?: Record<string, never>[] | null;
            probe?: Record<string, never> | null;
            slots?: Record<string, never> | null;
            rewrite?: Record<string, never> | null;
            timeouts?: Record<string, never> | null;
            allow_private_network?: boolean | null;
            ca_file?: string | null;
            /** Format: int64 */
            max_wait_seconds?: number | null;
            /** Format: int32 */
            requests_per_minute?: number | null;
            limits?: Record<string, never> | null;
            /** Format: int32 */
            max_waiting?: number | null;
            /** Format: int32 */
            max_concurrent?: number | null;
            /** Format: int32 */
            fresh_seconds?: number | null;
            http2?: string | null;
            pool?: boolean | null;
        };
        NewSecretBody: {
            provider: string;
            /** @default default */
            name?: string | null;
            fields: {
                [key: string]: string;
            };
            /** Format: date-time */
            expires_at?: string | null;
            owner?: string | null;
            labels?: {
                [key: string]: string;
            } | null;
            /** @default true */
            validate?: boolean | null;
        };
        NewSymbolBody: {
            symbol: string;
            asset_class?: components["schemas"]["AssetClass"] | null;
            /** @default true */
            active?: boolean | null;
            provider?: string | null;
            interval?: components["schemas"]["Interval"] | null;
        };
        NewToken: {
            scopes?: string[] | null;
            tier?: components["schemas"]["Tier"] | null;
            origin?: string | null;
            address?: string | null;
            /**
             * Format: int64
             * @default 900
             */
            ttl_seconds?: number | null;
        };
        NewVersionBody: {
            fields?: {
                [key: string]: string;
            } | null;
            strategy?: components["schemas"]["StrategyBody"] | null;
            /** @default false */
            now?: boolean | null;
            /** @default true */
            validate?: boolean | null;
            /** @default false */
            auto?: boolean | null;
            /** @default false */
            dry_run?: boolean | null;
        };
        Offer: {
            name: string;
            role: components["schemas"]["RoleOfOperator"];
            totp_secret: string;
            totp_uri: string;
        };
        Operator: {
            id: string;
            name: string;
            email?: string | null;
            role: components["schemas"]["RoleOfOperator"];
            state: components["schemas"]["OperatorState"];
            /** Format: date-time */
            invitation_expires_at?: string | null;
            /** Format: date-time */
            created_at: string;
            created_by: string;
            /** Format: date-time */
            updated_at: string;
            fault?: string | null;
        };
        OperatorChange: {
            email?: string | null;
            role?: components["schemas"]["RoleOfOperator"] | null;
        };
        OperatorInvited: {
            invitation: string;
            operator: components["schemas"]["Operator"];
            /** Format: date-time */
            expires_at: string;
        };
        OperatorNamed: {
            id: string;
            name: string;
        };
        OperatorSession: {
            id: string;
            operator: components["schemas"]["OperatorNamed"];
            address?: string | null;
            user_agent?: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_seen: string;
            /** Format: date-time */
            ends_at: string;
            current: boolean;
        };
        /** @enum {string} */
        OperatorState: "active" | "invited" | "expired";
        Operators: {
            items: components["schemas"]["Operator"][];
            next_cursor?: string | null;
        };
        /** @enum {string} */
        Outcome: "good" | "refused" | "unknown";
        OwnLimit: {
            /** Format: int64 */
            calls: number;
            /** Format: int64 */
            window_seconds: number;
        };
        Part: {
            name: string;
            ready: boolean;
            detail?: string | null;
        };
        Placement: {
            at: string;
            value?: string | null;
            name?: string | null;
            pointer?: string | null;
            prefix?: string | null;
            user?: string | null;
            password?: string | null;
            methods?: string[];
        };
        PoolChange: {
            /**
             * Format: int32
             * @default 1
             */
            weight?: number | null;
            drained?: boolean | null;
        };
        PoolPlace: {
            /** Format: int32 */
            weight: number;
            state: string;
            /** Format: date-time */
            since?: string | null;
            /** Format: date-time */
            until?: string | null;
        };
        Previous: {
            key_preview?: string | null;
            /** Format: date-time */
            valid_until: string;
        };
        Price: {
            /** Format: double */
            per_call: number;
            routes: string[];
            models: {
                [key: string]: {
                    [key: string]: number;
                };
            };
        };
        Probe: {
            method: string;
            path: string;
            ok: number[];
            bad: number[];
            bad_body?: string | null;
            accepts_any: boolean;
            headers: {
                [key: string]: string;
            };
            permissions: components["schemas"]["ProbePermission"][];
            limits: {
                [key: string]: string;
            };
            expires?: string | null;
            account?: components["schemas"]["ProbeAccount"] | null;
        };
        ProbeAccount: {
            is: string;
            at: string;
            paper: string[];
        };
        ProbePermission: {
            name: string;
            method: string;
            path: string;
            needed: boolean;
        };
        Provider: {
            id: string;
            title: string;
            category: string;
            docs_url?: string | null;
            base_url: string;
            websocket_url?: string | null;
            hosts: {
                [key: string]: string;
            };
            paths: components["schemas"]["ProviderPath"][];
            fields: string[];
            formats: {
                [key: string]: components["schemas"]["KeyFormat"];
            };
            inject: components["schemas"]["Placement"][];
            rewrite: components["schemas"]["Rewrite"];
            probe?: components["schemas"]["Probe"] | null;
            allow_private_network: boolean;
            ca_file?: string | null;
            /** Format: int64 */
            max_wait_seconds: number;
            pool: boolean;
            /** Format: int32 */
            requests_per_minute: number;
            limits?: components["schemas"]["OwnLimit"] | null;
            max_waiting: number;
            max_concurrent: number;
            /** Format: int32 */
            fresh_seconds: number;
            http2: string;
            timeouts: components["schemas"]["Timeouts"];
            price?: components["schemas"]["Price"] | null;
            slots: components["schemas"]["Slots"];
            managed_by?: string | null;
        };
        ProviderPath: {
            under: string[];
            host: string;
        };
        Providers: {
            items: components["schemas"]["Provider"][];
            next_cursor?: string | null;
        };
        Proxy: components["schemas"]["Bound"] & {
            /** Format: int64 */
            window_seconds: number;
            month?: components["schemas"]["Bound"] | null;
        };
        Question: {
            key_id?: string | null;
            role?: components["schemas"]["Role"] | null;
            scopes?: string[] | null;
            method: string;
            url: string;
            address?: string | null;
            origin?: string | null;
            secret?: string | null;
        };
        Ready: {
            ready: boolean;
            parts: components["schemas"]["Part"][];
        };
        Record: {
            id: string;
            kind: components["schemas"]["RecordKind"];
            /** Format: date-time */
            timestamp: string;
            request_id: string;
            actor: components["schemas"]["Actor"];
            address?: string | null;
            provider?: string | null;
            secret?: string | null;
            /** Format: int32 */
            version?: number | null;
            method: string;
            endpoint: string;
            /** Format: int32 */
            status_code?: number | null;
            fault?: components["schemas"]["Fault"] | null;
            error_code?: string | null;
            /** Format: int64 */
            bytes_in: number;
            /** Format: int64 */
            bytes_out: number;
            /** Format: double */
            duration_ms: number;
            /** Format: double */
            upstream_ms: number;
            /** Format: int32 */
            retries: number;
            /** Format: int32 */
            scrub_hits: number;
            node: string;
            /** Format: int64 */
            sequence: number;
            model?: string | null;
            tokens?: components["schemas"]["TokenCounts"] | null;
            /** Format: double */
            cost?: number | null;
            /** Format: int64 */
            cost_micros?: number | null;
            end: string;
            detail?: Record<string, never> | null;
        };
        /** @enum {string} */
        RecordKind: "usage" | "access" | "change" | "security";
        Records: {
            items: components["schemas"]["Record"][];
            next_cursor?: string | null;
        };
        RecoveryCodes: {
            recovery_codes: string[];
        };
        Report: {
            ok: boolean;
            outcome: components["schemas"]["Outcome"];
            health: components["schemas"]["Health"];
            steps: components["schemas"]["Step"][];
        };
        Rewrite: {
            json: string[];
        };
        /** @enum {string} */
        Role: "admin" | "operator" | "auditor" | "user" | "guest";
        /** @enum {string} */
        RoleOfOperator: "admin" | "operator" | "auditor";
        RotateBody: {
            category?: string | null;
        };
        Rotation: {
            state: string;
            /** Format: int32 */
            from_version: number;
            /** Format: int32 */
            to_version: number;
            steps: number[];
            /** Format: int32 */
            step: number;
            /** Format: int32 */
            share: number;
            /** Format: int64 */
            hold_seconds: number;
            calls: components["schemas"]["RotationCalls"];
            /** Format: date-time */
            step_since: string;
            /** Format: date-time */
            started_at: string;
            why?: string | null;
            /** Format: date-time */
            old_used_at?: string | null;
            /** Format: date-time */
            retired_at?: string | null;
        };
        RotationCalls: {
            new: components["schemas"]["CallsOfVersion"];
            old: components["schemas"]["CallsOfVersion"];
            /** Format: int64 */
            repeated: number;
            /** Format: int64 */
            not_repeated: number;
        };
        RotationPolicy: {
            kind: string;
            schedule?: string | null;
            /** Format: int32 */
            max_age_days?: number | null;
            /** Format: int64 */
            age_days: number;
            /** Format: date-time */
            next_at?: string | null;
            state?: string | null;
            /** Format: date-time */
            last_at?: string | null;
            last_result?: string | null;
            fault?: string | null;
        };
        Sealing: {
            sealed: boolean;
            changed: boolean;
        };
        Secret: {
            id: string;
            provider: string;
            name: string;
            category: string;
            owner?: string | null;
            labels: {
                [key: string]: string;
            };
            active: boolean;
            usable: boolean;
            fault?: string | null;
            /** Format: int32 */
            version?: number | null;
            state?: components["schemas"]["VersionState"] | null;
            health: components["schemas"]["Health"];
            health_detail?: string | null;
            /** Format: date-time */
            health_since?: string | null;
            /** Format: date-time */
            checked_at?: string | null;
            account?: string | null;
            fingerprint: string;
            /** Format: date-time */
            expires_at?: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            updated_at: string;
            versions: components["schemas"]["Version"][];
            permissions?: string[] | null;
            limits?: {
                [key: string]: number;
            } | null;
            rotation?: components["schemas"]["Rotation"] | null;
            rotation_policy?: components["schemas"]["RotationPolicy"] | null;
            pool?: components["schemas"]["PoolPlace"] | null;
            provider_limit?: components["schemas"]["SecretLimit"] | null;
        };
        SecretChange: {
            name?: string | null;
            /** Format: date-time */
            expires_at?: string | null;
            owner?: string | null;
            labels?: {
                [key: string]: string;
            } | null;
            active?: boolean | null;
            validate?: boolean | null;
        };
        SecretLimit: {
            /** Format: int64 */
            calls?: number | null;
            /** Format: int64 */
            window_seconds?: number | null;
            /** Format: int64 */
            under_way: number;
            /** Format: int64 */
            learnt_per_minute?: number | null;
            /** Format: date-time */
            closed_until?: string | null;
        };
        Secrets: {
            items: components["schemas"]["Secret"][];
            next_cursor?: string | null;
        };
        Series: {
            interval: components["schemas"]["Interval"];
            /** Format: int64 */
            record_count: number;
            /** Format: date-time */
            first?: string | null;
            /** Format: date-time */
            last?: string | null;
            /** Format: int64 */
            rejected: number;
            /** Format: date-time */
            covered_to?: string | null;
            /** Format: double */
            coverage?: number | null;
            gaps: components["schemas"]["Gap"][];
        };
        Session: {
            state: components["schemas"]["SessionState"];
            operator?: components["schemas"]["SignedIn"] | null;
            id?: string | null;
            /** Format: date-time */
            stepped_up_until?: string | null;
            /** Format: date-time */
            idle_until?: string | null;
            /** Format: date-time */
            ends_at?: string | null;
            sealed: boolean;
            version: string;
        };
        /** @enum {string} */
        SessionState: "first_run" | "set_up" | "unsealing" | "signed_out" | "signed_in";
        Sessions: {
            items: components["schemas"]["OperatorSession"][];
            next_cursor?: string | null;
        };
        /** @enum {string} */
        Severity: "info" | "warning" | "critical";
        SignedIn: {
            id: string;
            name: string;
            role: components["schemas"]["Role"];
            email?: string | null;
            recovery_codes_left: number;
        };
        SigningIn: {
            name?: string | null;
            password?: string | null;
            code?: string | null;
            admin_key?: string | null;
        };
        Slots: {
            headers: string[];
            query: string[];
        };
        Step: {
            name: string;
            ok?: boolean | null;
            detail: string;
            remedy?: string | null;
            /** Format: int64 */
            ms: number;
        };
        StrategyBody: {
            steps?: number[] | null;
            /**
             * Format: int64
             * @default 300
             */
            hold_seconds?: number | null;
        };
        Symbol: {
            /** Format: int64 */
            id: number;
            symbol: string;
            asset_class: components["schemas"]["AssetClass"];
            active: boolean;
            /** Format: date-time */
            date_added: string;
            backfill_status: components["schemas"]["BackfillStatus"];
            backfill_error?: string | null;
            /** Format: date-time */
            last_backfill?: string | null;
            provider?: string | null;
            interval?: components["schemas"]["Interval"] | null;
            /** Format: int64 */
            record_count: number;
            /** Format: date-time */
            first?: string | null;
            /** Format: date-time */
            last?: string | null;
            /** Format: int64 */
            rejected: number;
            /** Format: double */
            validation_rate?: number | null;
        };
        SymbolChange: {
            active?: boolean | null;
            provider?: string | null;
            interval?: components["schemas"]["Interval"] | null;
        };
        SymbolShown: components["schemas"]["Symbol"] & {
            gaps: components["schemas"]["Gap"][];
            series: components["schemas"]["Series"][];
        };
        Symbols: {
            items: components["schemas"]["Symbol"][];
            next_cursor?: string | null;
        };
        TestOfDestination: {
            ok: boolean;
            detail: string;
            delivery: string;
        };
        /** @enum {string} */
        Tier: "unlimited" | "premium" | "standard" | "limited";
        Timeouts: {
            /** Format: int64 */
            connect_seconds: number;
            /** Format: int64 */
            first_byte_seconds: number;
            /** Format: int64 */
            idle_seconds: number;
            /** Format: int64 */
            total_seconds: number;
        };
        Token: {
            /** Format: date-time */
            expires_at: string;
            client_key_id: string;
        };
        TokenCounts: {
            /** Format: int64 */
            input: number;
            /** Format: int64 */
            cached: number;
            /** Format: int64 */
            written: number;
            /** Format: int64 */
            written_long: number;
            /** Format: int64 */
            output: number;
        };
        TokenShown: components["schemas"]["Token"] & {
            token: string;
        };
        Unsealing: {
            passphrase?: string | null;
        };
        Usage: {
            /** Format: date-time */
            bucket: string;
            group?: string | null;
            /** Format: int64 */
            requests: number;
            errors: components["schemas"]["Errors"];
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
            /** Format: int64 */
            bytes_in: number;
            /** Format: int64 */
            bytes_out: number;
            /** Format: int64 */
            tokens_in: number;
            /** Format: int64 */
            tokens_out: number;
            /** Format: double */
            cost: number;
            /** Format: int64 */
            cost_micros: number;
            /** Format: int64 */
            unpriced: number;
        };
        UsageList: {
            items: components["schemas"]["Usage"][];
            next_cursor?: string | null;
        };
        Verification: {
            ok: boolean;
            /** Format: int64 */
            records: number;
            first_bad?: components["schemas"]["FirstBad"] | null;
            nodes: components["schemas"]["Covered"][];
        };
        Version: {
            /** Format: int32 */
            version: number;
            state: components["schemas"]["VersionState"];
            /** Format: int32 */
            share: number;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_used_at?: string | null;
        };
        /** @enum {string} */
        VersionState: "pending" | "active" | "retiring" | "retired" | "destroyed";
        /** ClientKeyWithLimits */
        WithLimits: components["schemas"]["ClientKey"] & {
            limits: components["schemas"]["Limits"];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    alert_deliveries_list: {
        parameters: {
            query?: {
                state?: components["schemas"]["DeliveryState"];
                destination?: string;
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDeliveries"];
                };
            };
        };
    };
    alert_deliveries_resend: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDelivery"];
                };
            };
        };
    };
    alert_destinations_list: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDestinations"];
                };
            };
        };
    };
    alert_destinations_add: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewAlertDestination"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDestinationMade"];
                };
            };
        };
    };
    alert_destinations_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDestination"];
                };
            };
        };
    };
    alert_destinations_change: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AlertDestinationChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertDestination"];
                };
            };
        };
    };
    alert_destinations_remove: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    alert_destinations_test: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TestOfDestination"];
                };
            };
        };
    };
    alerts_list: {
        parameters: {
            query?: {
                state?: components["schemas"]["AlertState"];
                kind?: components["schemas"]["AlertKind"];
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Alerts"];
                };
            };
        };
    };
    alerts_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Alert"];
                };
            };
        };
    };
    alerts_acknowledge: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Alert"];
                };
            };
        };
    };
    api_keys_list: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientKeys"];
                };
            };
        };
    };
    api_keys_create: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewClientKey"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientKeyShown"];
                };
            };
        };
    };
    api_keys_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WithLimits"];
                };
            };
        };
    };
    api_keys_change: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ClientKeyChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientKey"];
                };
            };
        };
    };
    api_keys_delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    api_keys_accept: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientKey"];
                };
            };
        };
    };
    api_keys_trail: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Records"];
                };
            };
        };
    };
    api_keys_rotate: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["Rotation"] | null;
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClientKeyShown"];
                };
            };
        };
    };
    api_keys_issue_token: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["NewToken"] | null;
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenShown"];
                };
            };
        };
    };
    audit_list: {
        parameters: {
            query?: {
                kind?: components["schemas"]["RecordKind"];
                actor?: string;
                provider?: string;
                secret?: string;
                status?: number;
                from?: string;
                to?: string;
                request_id?: string;
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Records"];
                };
            };
        };
    };
    audit_archives: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Archives"];
                };
            };
        };
    };
    audit_verify: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Verification"];
                };
            };
        };
    };
    backfill_history: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backfills"];
                };
            };
        };
    };
    backfill_ask: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["BackfillBody"];
            };
        };
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backfill"];
                };
            };
        };
    };
    backfill_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BackfillShown"];
                };
            };
        };
    };
    backfill_cancel: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backfill"];
                };
            };
        };
    };
    backups_list: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backups"];
                };
            };
        };
    };
    backups_create: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewBackup"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": number[];
                };
            };
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Backup"];
                };
            };
        };
    };
    integrity_integrity: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Integrity"];
                };
            };
        };
    };
    integrity_accept: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accepted"];
                };
            };
        };
    };
    keks_status: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Generations"];
                };
            };
        };
    };
    keks_cancel: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Cancelled"];
                };
            };
        };
    };
    keks_job: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
        };
    };
    keks_rekey: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
        };
    };
    keks_rewrap: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
        };
    };
    keks_rotate: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RotateBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Generations"];
                };
            };
        };
    };
    operators_list: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Operators"];
                };
            };
        };
    };
    operators_invite: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewOperator"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OperatorInvited"];
                };
            };
        };
    };
    operators_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Operator"];
                };
            };
        };
    };
    operators_change: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OperatorChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Operator"];
                };
            };
        };
    };
    operators_remove: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    operators_reset: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OperatorInvited"];
                };
            };
        };
    };
    policy_explain: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Question"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Explained"];
                };
            };
        };
    };
    providers_list: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Providers"];
                };
            };
        };
    };
    providers_add: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewProvider"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Provider"];
                };
            };
        };
    };
    providers_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Provider"];
                };
            };
        };
    };
    providers_set: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewProvider"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Provider"];
                };
            };
        };
    };
    providers_remove: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    seal_seal: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Sealing"];
                };
            };
        };
    };
    secrets_list: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secrets"];
                };
            };
        };
    };
    secrets_add: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewSecretBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_change: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SecretChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_destroy: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    secrets_checks: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Checks"];
                };
            };
        };
    };
    secrets_place: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PoolChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_reseal: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_pause: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_promote: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_resume: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_rollback: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    secrets_validate: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Report"];
                };
            };
        };
    };
    secrets_version: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewVersionBody"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DryRun"];
                };
            };
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Secret"];
                };
            };
        };
    };
    sessions_list: {
        parameters: {
            query?: {
                operator?: string;
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Sessions"];
                };
            };
        };
    };
    sessions_end: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    symbols_list: {
        parameters: {
            query?: {
                active_only?: boolean;
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Symbols"];
                };
            };
        };
    };
    symbols_add: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewSymbolBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SymbolShown"];
                };
            };
        };
    };
    symbols_show: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                symbol: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SymbolShown"];
                };
            };
        };
    };
    symbols_change: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                symbol: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SymbolChange"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SymbolShown"];
                };
            };
        };
    };
    symbols_remove: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                symbol: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    symbols_candles: {
        parameters: {
            query?: {
                from?: string;
                to?: string;
                interval?: components["schemas"]["Interval"];
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path: {
                symbol: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Candles"];
                };
            };
        };
    };
    unseal_unseal: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Unsealing"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Sealing"];
                };
            };
        };
    };
    usage_usage: {
        parameters: {
            query?: {
                from?: string;
                to?: string;
                group_by?: string;
                bucket?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UsageList"];
                };
            };
        };
    };
    session_show: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
        };
    };
    session_sign_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SigningIn"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
        };
    };
    session_sign_out: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    session_open: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Invitation"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offer"];
                };
            };
        };
    };
    session_accept: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Accepting"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accepted"];
                };
            };
        };
    };
    session_change_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewPassword"];
            };
        };
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    session_renew_recovery: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FreshCode"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RecoveryCodes"];
                };
            };
        };
    };
    session_step_up: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FreshCode"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Session"];
                };
            };
        };
    };
    readyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ready"];
                };
            };
        };
    };
}

/** Captured requests on the wire: what the API tells and the page reads. */

export interface RequestSummary {
  readonly id: string;
  readonly uri: string;
  readonly session?: string;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly pod: string;
  /** RFC 3339. */
  readonly start: string;
  readonly method: string;
  readonly path: string;
  /** With its `?`; secret values masked. */
  readonly query: string;
  readonly state: "waiting" | "receiving" | "done" | "failed" | "upgraded";
  readonly status?: number;
  readonly content_type?: string;
  readonly request_size: number;
  readonly response_size: number;
  readonly first_byte_ms?: number;
  readonly total_ms?: number;
  readonly upgraded?: string;
  readonly replay_of?: string;
  readonly error?: string;
}

export interface HeaderJson {
  readonly name: string;
  readonly value: string;
  /** The value is kept back; `/api/requests/http/ID/secret` has it. */
  readonly masked?: true;
}

export interface MessageJson {
  readonly proto: string;
  /** Values by name, as ngrok tells them; masked. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** The same in their order on the wire. */
  readonly header_list: readonly HeaderJson[];
  readonly body: BodyJson;
  /** Base64 of the head (masked) and the kept body. */
  readonly raw: string;
}

export interface RequestDetail extends RequestSummary {
  readonly tunnel_name: string;
  /** Nanoseconds, as ngrok tells it. */
  readonly duration: number;
  readonly request: MessageJson & {
    readonly method: string;
    readonly uri: string;
    readonly uri_masked: boolean;
  };
  readonly response?: MessageJson & { readonly status: string; readonly status_code: number };
}

export interface BodyJson {
  /** Bytes that passed, and how many of them were kept. */
  readonly size: number;
  readonly kept: number;
  readonly truncated: boolean;
  readonly complete: boolean;
  readonly content_type?: string;
  /** The content coding that was undone for `text`. */
  readonly decoded?: string;
  /** Present when it is UTF-8 text. */
  readonly text?: string;
  /** The kept bytes as they passed, where they are not plain text. */
  readonly base64?: string;
}

/** Short names for the types that are generated from the OpenAPI document of the server. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type ApiToken = Schemas['ApiToken'];
export type CallDetail = Schemas['CallDetail'];
export type CallEdit = Schemas['CallEdit'];
export type CallEvent = Schemas['CallEvent'];
export type CallHit = Schemas['CallHit'];
export type CallPage = Schemas['CallPage'];
export type CallRecord = Schemas['CallRecord'];
export type CallStatus = Schemas['CallStatus'];
export type Direction = Schemas['Direction'];
export type EndReason = Schemas['EndReason'];
export type EngineHealth = Schemas['EngineHealth'];
export type Hit = Schemas['Hit'];
export type LanguageDoubt = Schemas['LanguageDoubt'];
export type ListenerReply = Schemas['ListenerReply'];
export type ListenerRequest = Schemas['ListenerRequest'];
export type Partial = Schemas['Partial'];
export type Recording = Schemas['Recording'];
export type RecordingStatus = Schemas['RecordingStatus'];
export type Role = Schemas['Role'];
export type Scope = Schemas['Scope'];
export type SecondFactor = Schemas['SecondFactor'];
export type SecondStep = Schemas['SecondStep'];
export type Segment = Schemas['Segment'];
export type ServerSettings = Schemas['Settings'];
export type SessionInfo = Schemas['SessionInfo'];
export type SessionState = Schemas['SessionState'];
export type Simulation = Schemas['Simulation'];
export type Speaker = Schemas['Speaker'];
export type TotpSetup = Schemas['TotpSetup'];
export type User = Schemas['User'];
export type VoiceToken = Schemas['VoiceToken'];
export type Word = Schemas['Word'];
